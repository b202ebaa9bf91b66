import argparse

import torch
from torch import nn

QUANTILES = torch.tensor([0.1, 0.5, 0.9])


def pinball(prediction, target):
    error = target.unsqueeze(1) - prediction
    return torch.maximum(QUANTILES * error, (QUANTILES - 1) * error).mean()


def delivery_times(n):
    """Standardised delay against distance and traffic; the spread grows with the distance."""
    distance, traffic = torch.rand(n), torch.rand(n)
    mean = 1.2 * distance + distance * traffic**2 + 0.3 * torch.sin(6 * traffic)
    delay = mean + (0.1 + 0.5 * distance) * torch.randn(n)
    x = torch.stack([distance - 0.5, traffic - 0.5], dim=1) * 3.46
    return x, (delay - 0.95) / 0.65


class QuantileNet(nn.Module):
    def __init__(self, hidden=40):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(2, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.heads = nn.Linear(hidden, len(QUANTILES))

    def forward(self, x):
        return self.heads(self.trunk(x))


def coverage(prediction, target):
    return (target.unsqueeze(1) <= prediction).float().mean(0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--max-steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x_train, y_train = delivery_times(6000)
    x_val, y_val = delivery_times(1000)
    net = QuantileNet()
    optimizer = torch.optim.AdamW(net.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.max_steps)
    step, running = 0, 0.0
    while step < args.max_steps:
        for rows in torch.randperm(len(x_train)).split(args.batch_size):
            loss = pinball(net(x_train[rows]), y_train[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            step += 1
            running += loss.item()
            if step % 150 == 0:
                net.eval()
                with torch.no_grad():
                    prediction = net(x_val)
                    val_loss = pinball(prediction, y_val)
                shares = ", ".join(f"{c:.2f}" for c in coverage(prediction, y_val).tolist())
                print(f"step {step}: train {running / 150:.4f} val {val_loss:.4f} below the quantiles {shares}")
                net.train()
                running = 0.0
            if step >= args.max_steps:
                break


if __name__ == "__main__":
    main()
