import argparse

import torch
import torch.nn as nn


def cohort(n, seed_weights):
    x = torch.randn(n, 8)
    risk = x @ seed_weights + 0.5 * (x[:, 0] * x[:, 1])
    survival = -torch.log(torch.rand(n)) * torch.exp(-risk)
    censoring = -torch.log(torch.rand(n)) * 2.0
    return x, torch.minimum(survival, censoring), survival <= censoring


def cox_loss(risk, time, event):
    """Negative partial log-likelihood per event (Breslow)."""
    order = time.argsort(descending=True)
    risk, event = risk[order], event[order]
    return -(risk - torch.logcumsumexp(risk, dim=0))[event].mean()


def concordance(risk, time, event):
    earlier = (time[:, None] < time[None, :]) & event[:, None]
    return ((risk[:, None] > risk[None, :]) & earlier).sum().item() / earlier.sum().item()


class RiskNet(nn.Module):
    def __init__(self, inputs=8, hidden=32, dropout=0.1):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden), nn.SELU(), nn.AlphaDropout(dropout), nn.Linear(hidden, 1, bias=False)
        )

    def forward(self, x):
        return self.layers(x).squeeze(1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=25)
parser.add_argument("--batch-size", type=int, default=200)
args = parser.parse_args()
torch.manual_seed(args.seed)

weights = torch.randn(8) * 0.5
x, time, event = cohort(2400, weights)
x_val, time_val, event_val = cohort(600, weights)
print(f"{event.float().mean():.0%} of the patients had the event")

net = RiskNet()
optimizer = torch.optim.NAdam(net.parameters(), lr=3e-3)
epoch = 0
while epoch < args.epochs:
    net.train()
    order = torch.randperm(len(x))
    running = 0.0
    for start in range(0, len(x), args.batch_size):
        rows = order[start : start + args.batch_size]
        loss = cox_loss(net(x[rows]), time[rows], event[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        running += loss.item() * len(rows) / len(x)
    net.eval()
    with torch.no_grad():
        c_index = concordance(net(x_val), time_val, event_val)
    epoch += 1
    print(f"epoch {epoch:>2}/{args.epochs}  partial likelihood {running:.4f}  c-index {c_index:.4f}")
