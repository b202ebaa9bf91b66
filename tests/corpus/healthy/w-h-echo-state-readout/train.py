import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def mackey_glass(n, tau=17, seed=0):
    rng = np.random.default_rng(seed)
    x = list(1.2 + 0.1 * rng.standard_normal(tau * 10 + 1))
    for _ in range((n + 300) * 10):
        past = x[-tau * 10 - 1]
        x.append(x[-1] + 0.1 * (0.2 * past / (1 + past**10) - 0.1 * x[-1]))
    return np.array(x[-n * 10 :: 10])


class Reservoir(nn.Module):
    def __init__(self, size=150, radius=0.9, scale=0.5, leak=0.5):
        super().__init__()
        w = torch.randn(size, size) * (torch.rand(size, size) < 0.1)
        self.register_buffer("w", w * radius / torch.linalg.eigvals(w).abs().max())
        self.register_buffer("w_in", scale * (2 * torch.rand(size) - 1))
        self.register_buffer("bias", 0.2 * (2 * torch.rand(size) - 1))
        self.leak = leak

    @torch.no_grad()
    def forward(self, series):
        h = torch.zeros(self.w.shape[0])
        states = []
        for u in series:
            h = (1 - self.leak) * h + self.leak * torch.tanh(self.w @ h + self.w_in * u + self.bias)
            states.append(h)
        return torch.stack(states)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--length", type=int, default=3000)
    ap.add_argument("--horizon", type=int, default=6)
    ap.add_argument("--washout", type=int, default=100)
    ap.add_argument("--epochs", type=int, default=25)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    series = mackey_glass(args.length, seed=args.seed)
    cut = int(0.8 * args.length)
    series = torch.tensor((series - series[:cut].mean()) / series[:cut].std(), dtype=torch.float32)
    states = Reservoir()(series)

    h, target = states[args.washout : -args.horizon], series[args.washout + args.horizon :]
    cut -= args.washout + args.horizon
    mean, std = h[:cut].mean(0), h[:cut].std(0)
    h = (h - mean) / std
    train = DataLoader(TensorDataset(h[:cut], target[:cut]), batch_size=32, shuffle=True)
    h_val, y_val = h[cut + args.horizon :], target[cut + args.horizon :]

    readout = nn.Linear(h.shape[1], 1)
    opt = torch.optim.Adam(readout.parameters(), lr=3e-3, weight_decay=1e-6)
    sched = torch.optim.lr_scheduler.ExponentialLR(opt, 0.9)
    for epoch in range(1, args.epochs + 1):
        total = 0.0
        for hb, yb in train:
            loss = nn.functional.mse_loss(readout(hb).squeeze(-1), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        sched.step()
        if epoch % 5 == 0:
            with torch.no_grad():
                err = nn.functional.mse_loss(readout(h_val).squeeze(-1), y_val).item()
            print(
                f"epoch {epoch:3d}  train mse {total / len(train):.5f}  val nrmse {(err / y_val.var().item()) ** 0.5:.4f}"
            )


if __name__ == "__main__":
    main()
