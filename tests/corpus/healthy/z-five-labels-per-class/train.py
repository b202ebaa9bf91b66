# semi-supervised node classification: the whole graph every step, a handful of labelled nodes
import argparse
import copy

import torch
import torch.nn as nn
import torch.nn.functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=200)
parser.add_argument("--patience", type=int, default=50)
parser.add_argument("--hidden", type=int, default=16)
parser.add_argument("--per_class", type=int, default=5)
args = parser.parse_args()
torch.manual_seed(args.seed)

# citation-like graph: 4 subjects, sparse word features
N, C, WORDS = 600, 4, 120
y = torch.randint(C, (N,))
links = torch.where(y[:, None] == y[None, :], 0.03, 0.0025)
upper = torch.triu(torch.rand(N, N) < links, 1).float()
adj = upper + upper.T + torch.eye(N)
inv = adj.sum(1).rsqrt()
adj = (inv[:, None] * adj * inv[None, :]).to_sparse()

likes = 0.03 + 0.10 * (torch.arange(WORDS)[None, :] % C == y[:, None]).float()
feats = (torch.rand(N, WORDS) < likes).float()
feats = feats / feats.sum(1, keepdim=True).clamp(min=1)

train_mask = torch.zeros(N, dtype=torch.bool)
for c in range(C):
    members = (y == c).nonzero().flatten()
    train_mask[members[torch.randperm(len(members))[: args.per_class]]] = True
rest = (~train_mask).nonzero().flatten()
rest = rest[torch.randperm(len(rest))]
val_idx, test_idx = rest[:150], rest[150:]


class GCN(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin1 = nn.Linear(WORDS, args.hidden, bias=False)
        self.lin2 = nn.Linear(args.hidden, C)
        nn.init.xavier_uniform_(self.lin1.weight)
        nn.init.xavier_uniform_(self.lin2.weight)

    def forward(self, x, a):
        x = F.dropout(x, 0.5, self.training)
        x = F.relu(torch.sparse.mm(a, self.lin1(x)))
        x = F.dropout(x, 0.5, self.training)
        return torch.sparse.mm(a, self.lin2(x))


model = GCN()
optimizer = torch.optim.Adam(
    [
        {"params": model.lin1.parameters(), "weight_decay": 5e-4},
        {"params": model.lin2.parameters(), "weight_decay": 0.0},
    ],
    lr=0.02,
)

best_val, best_state, waited = float("inf"), None, 0
for epoch in range(args.epochs):
    model.train()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(feats, adj)[train_mask], y[train_mask])
    loss.backward()
    optimizer.step()

    model.eval()
    with torch.no_grad():
        logits = model(feats, adj)
    val_loss = F.cross_entropy(logits[val_idx], y[val_idx]).item()
    if epoch % 10 == 0:
        val_acc = (logits[val_idx].argmax(1) == y[val_idx]).float().mean().item()
        print(f"epoch {epoch:3d} | loss {loss.item():.4f} | val loss {val_loss:.4f} | val acc {val_acc:.3f}")
    if val_loss < best_val - 1e-4:
        best_val, best_state, waited = val_loss, copy.deepcopy(model.state_dict()), 0
    else:
        waited += 1
        if waited >= args.patience:
            print("stopped at epoch", epoch)
            break

model.load_state_dict(best_state)
model.eval()
with torch.no_grad():
    test_acc = (model(feats, adj)[test_idx].argmax(1) == y[test_idx]).float().mean().item()
print(f"test accuracy {test_acc:.3f}")
