import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def visits(n, generator):
    """Visitors per hour, depending on hour of day, weekend, rain and temperature."""
    hour = torch.randint(0, 24, (n,), generator=generator).float()
    weekend = (torch.rand(n, generator=generator) < 2 / 7).float()
    rain = (torch.rand(n, generator=generator) < 0.3).float()
    temperature = 14 + 8 * torch.randn(n, generator=generator)
    log_rate = 1.5 + torch.sin((hour - 8) / 24 * 6.2832) + 0.5 * weekend - 0.7 * rain + 0.03 * (temperature - 14)
    count = torch.poisson(log_rate.exp(), generator=generator)
    features = torch.stack(
        [
            torch.sin(hour / 24 * 6.2832),
            torch.cos(hour / 24 * 6.2832),
            weekend - 2 / 7,
            rain - 0.3,
            (temperature - 14) / 8,
        ],
        dim=1,
    )
    return TensorDataset(features, count)


class RateNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, x):
        return self.layers(x).squeeze(1)  # log of the expected count


parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--lr", type=float, default=3e-3)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

torch.manual_seed(args.seed)
generator = torch.Generator().manual_seed(args.seed)
train_loader = DataLoader(visits(3000, generator), batch_size=50, shuffle=True)
val_loader = DataLoader(visits(600, generator), batch_size=300)
net = RateNet()
criterion = nn.PoissonNLLLoss(log_input=True)
optimizer = torch.optim.Adam(net.parameters(), lr=args.lr)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.85)

for epoch in range(args.epochs):
    net.train()
    losses = []
    for x, count in train_loader:
        optimizer.zero_grad()
        loss = criterion(net(x), count)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    scheduler.step()
    net.eval()
    with torch.no_grad():
        val = [(criterion(net(x), count).item(), (net(x).exp() - count).abs().mean().item()) for x, count in val_loader]
    val_loss, mae = (sum(column) / len(column) for column in zip(*val, strict=True))
    print(f"epoch {epoch + 1:2d}: train nll {sum(losses) / len(losses):.4f} val nll {val_loss:.4f} mae {mae:.3f}")
