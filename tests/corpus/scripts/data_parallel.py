import torch
import torch.nn as nn
from fingerprint import leave

torch.manual_seed(0)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(5, 8, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(16, 2)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return self.fc(out.sum(1) / lengths[:, None])


net = nn.DataParallel(Net())
criterion = nn.CrossEntropyLoss(reduction="none")
optimizer = torch.optim.Adam(net.module.parameters(), 1e-2, betas=(0.8, 0.99))
for step in range(15):
    lengths = torch.randint(2, 7, (10,))
    x = torch.randn(10, int(lengths.max()), 5)
    y = (x[:, 0, 0] > 0).long()
    losses = criterion(net(x, lengths), y)
    optimizer.zero_grad()
    if step % 2:
        losses.mean().backward()
    else:
        losses.backward(torch.full_like(losses, 1 / len(losses)))
    total_norm = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in net.parameters()]))
    optimizer.step()
    print(step, repr(losses.mean().item()), repr(total_norm.item()))
torch.save(net.module.state_dict(), "net.pt")
leave(net)
