import argparse

import numpy as np
import torch
from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


class Net(nn.Module):
    def __init__(self, n, p):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n, 64), nn.ReLU(), nn.Dropout(p), nn.Linear(64, 1))

    def forward(self, x):
        return self.layers(x).squeeze(-1)


def mc_predict(model, x, samples):
    model.eval()
    for m in model.modules():
        if isinstance(m, nn.Dropout):
            m.train()
    with torch.no_grad():
        draws = torch.stack([model(x) for _ in range(samples)])
    model.eval()
    return draws.mean(0), draws.std(0)


def main(seed, epochs, p):
    torch.manual_seed(seed)
    x, y = make_friedman1(900, n_features=7, noise=1.0, random_state=seed)
    xt, xv, yt, yv = train_test_split(x, y, test_size=0.25, random_state=seed)
    sx, sy = StandardScaler().fit(xt), StandardScaler().fit(yt[:, None])
    t = lambda a: torch.tensor(a, dtype=torch.float32)
    xt, xv = t(sx.transform(xt)), t(sx.transform(xv))
    yt, yv = t(sy.transform(yt[:, None]).ravel()), t(sy.transform(yv[:, None]).ravel())
    model = Net(7, p)
    opt = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    for epoch in range(1, epochs + 1):
        model.train()
        losses = []
        for idx in torch.randperm(len(xt)).split(24):
            loss = nn.functional.mse_loss(model(xt[idx]), yt[idx])
            opt.zero_grad()
            loss.backward()
            opt.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            val = nn.functional.mse_loss(model(xv), yv).item()
        if epoch % 5 == 0:
            mean, std = mc_predict(model, xv, 30)
            mc = nn.functional.mse_loss(mean, yv).item()
            print(
                f"epoch {epoch:3d}  train {np.mean(losses):.3f}  val {val:.3f}  MC mean {mc:.3f}  "
                f"mean spread {std.mean().item():.3f}"
            )
    mean, std = mc_predict(model, xv, 200)
    resid = (yv - mean).abs()
    print(
        f"final R2 {1 - (resid**2).mean() / yv.var():.3f}; rows with a wide spread: "
        f"error {resid[std > std.median()].mean():.3f}, narrow: {resid[std <= std.median()].mean():.3f}"
    )


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=40)
    ap.add_argument("--dropout", type=float, default=0.1)
    a = ap.parse_args()
    main(a.seed, a.epochs, a.dropout)
