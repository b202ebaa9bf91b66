import torch
import torch._dynamo
import torch.nn as nn
import torch.nn.functional as F
from fingerprint import leave

torch.manual_seed(0)


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.l1, self.l2, self.norm = nn.Linear(8, 16), nn.Linear(16, 3), nn.BatchNorm1d(16)

    def forward(self, x):
        return self.l2(F.dropout(F.relu(self.norm(self.l1(x))), 0.1, self.training))


def train_step(model, optimizer, x, y):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


xs, ys = torch.randn(10, 12, 8), torch.randint(0, 3, (10, 12))
for backend in ("eager", "aot_eager"):
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    net = MLP()
    model = torch.compile(net, backend=backend)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for x, y in zip(xs, ys):
        loss = train_step(model, optimizer, x, y)
    model.eval()
    with torch.no_grad():
        scores = model(xs[0]).sum()
    stats = torch._dynamo.utils.counters["stats"]
    print(backend, repr(loss.item()), scores.item(), "graphs", stats["unique_graphs"], "calls", stats["calls_captured"])
    print("breaks", len(torch._dynamo.utils.counters["graph_break"]))
    leave(net, optimizer)

in_place = MLP()
in_place.compile(backend="eager")
optimizer = torch.optim.SGD(in_place.parameters(), 0.1)
whole = torch.compile(train_step, backend="eager")
for i, (x, y) in enumerate(zip(xs, ys)):
    step = whole if i % 2 else train_step
    print(i, repr(step(in_place, optimizer, x, y).item()))
explained = torch._dynamo.explain(MLP().eval())(xs[0])
print("explained", explained.graph_count, explained.graph_break_count)
torch.save(in_place.state_dict(), "compiled.pt")
leave(in_place, optimizer)
