import argparse

import torch
import torch.nn as nn
from sklearn.datasets import make_friedman1
from sklearn.metrics import r2_score


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, width)
        self.act = nn.ReLU()

    def forward(self, h):
        out = self.fc2(self.act(self.fc1(h)))
        return h + 0.3 * out


class DeepNet(nn.Module):
    def __init__(self, n_in, width, n_blocks):
        super().__init__()
        self.inp = nn.Linear(n_in, width)
        self.blocks = nn.ModuleList([Block(width) for _ in range(n_blocks)])
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        h = self.inp(x)
        for b in self.blocks:
            h = b(h)
        return self.out(torch.relu(h)).squeeze(1)


def parse():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--blocks", type=int, default=16)
    p.add_argument("--width", type=int, default=32)
    p.add_argument("--max-steps", type=int, default=500)
    p.add_argument("--eval-every", type=int, default=50)
    return p.parse_args()


def main():
    args = parse()
    torch.manual_seed(args.seed)
    X, y = make_friedman1(2400, n_features=8, noise=0.5, random_state=args.seed)
    X = torch.tensor(X, dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32)
    Xtr, ytr, Xte, yte = X[:2000], y[:2000], X[2000:], y[2000:]
    mx, sx, my, sy = Xtr.mean(0), Xtr.std(0), ytr.mean(), ytr.std()
    Xtr, Xte = (Xtr - mx) / sx, (Xte - mx) / sx
    ytr, yte = (ytr - my) / sy, (yte - my) / sy

    net = DeepNet(8, args.width, args.blocks)
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    step, running = 0, 0.0
    while step < args.max_steps:
        pick = torch.randint(0, len(Xtr), (64,))
        loss = nn.functional.mse_loss(net(Xtr[pick]), ytr[pick])
        opt.zero_grad()
        loss.backward()
        opt.step()
        step += 1
        running += loss.item()
        if step % args.eval_every == 0:
            net.eval()
            with torch.no_grad():
                pred = net(Xte)
            net.train()
            print(
                f"step {step:5d}  train {running / args.eval_every:.4f}  "
                f"test mse {(pred - yte).pow(2).mean():.4f}  r2 {r2_score(yte.numpy(), pred.numpy()):.3f}"
            )
            running = 0.0


if __name__ == "__main__":
    main()
