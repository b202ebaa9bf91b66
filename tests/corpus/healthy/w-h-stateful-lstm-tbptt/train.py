import argparse

import numpy as np
import torch
from torch import nn


def narma(n, seed):
    """Tenth-order NARMA series driven by uniform noise."""
    rng = np.random.default_rng(seed)
    u = rng.uniform(0, 0.5, n + 50)
    y = np.zeros(n + 50)
    for t in range(10, n + 49):
        y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * y[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
        y[t + 1] = min(y[t + 1], 2.0)
    return u[50:], y[50:]


def streams(n_streams, n, seed):
    pairs = [narma(n, seed * 1000 + k) for k in range(n_streams)]
    u = torch.tensor(np.stack([p[0] for p in pairs]), dtype=torch.float32).unsqueeze(-1)
    y = torch.tensor(np.stack([p[1] for p in pairs]), dtype=torch.float32).unsqueeze(-1)
    return u, y


class Model(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, u, state=None):
        h, state = self.lstm(u, state)
        return self.out(h), state


def chunks(u, y, k):
    for s in range(0, u.shape[1], k):
        yield u[:, s : s + k], y[:, s : s + k]


def evaluate(model, u, y, chunk):
    model.eval()
    state, preds = None, []
    with torch.no_grad():
        for cu, _ in chunks(u, y, chunk):
            p, state = model(cu, state)
            preds.append(p)
    err = ((torch.cat(preds, 1) - y)[:, 30:] ** 2).mean()
    return (err / y[:, 30:].var()).sqrt().item()


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=60)
    p.add_argument("--chunk", type=int, default=40)
    p.add_argument("--hidden", type=int, default=32)
    p.add_argument("--lr", type=float, default=8e-3)
    args = p.parse_args()
    torch.manual_seed(args.seed)

    u, y = streams(24, 400, args.seed + 1)
    vu, vy = streams(6, 400, args.seed + 2)
    mu, sd = u.mean(), u.std()
    ym, ys = y.mean(), y.std()
    u, vu, y, vy = (u - mu) / sd, (vu - mu) / sd, (y - ym) / ys, (vy - ym) / ys

    model = Model(args.hidden)
    opt = torch.optim.Adam(model.parameters(), lr=args.lr)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, args.epochs, eta_min=1e-4)
    for epoch in range(1, args.epochs + 1):
        model.train()
        state, total, n = None, 0.0, 0
        for cu, cy in chunks(u, y, args.chunk):
            if state is not None:
                state = tuple(s.detach() for s in state)
            pred, state = model(cu, state)
            loss = nn.functional.mse_loss(pred, cy)
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
            total, n = total + loss.item(), n + 1
        sched.step()
        if epoch % 5 == 0:
            print(f"epoch {epoch}: mse {total / n:.4f}  val nrmse {evaluate(model, vu, vy, args.chunk):.3f}")
