# house-style regression, resilient backpropagation, everything in one batch
import argparse

import torch
from sklearn.datasets import make_friedman2
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

ap = argparse.ArgumentParser()
ap.add_argument("--seed", type=int, default=0)
ap.add_argument("--iterations", type=int, default=400)
ap.add_argument("--hidden", type=int, default=20)
args = ap.parse_args()
torch.manual_seed(args.seed)

X, y = make_friedman2(n_samples=1500, noise=25.0, random_state=args.seed)
X_tr, X_te, y_tr, y_te = train_test_split(X, y, test_size=0.3, random_state=args.seed)
sx, sy = StandardScaler().fit(X_tr), StandardScaler().fit(y_tr[:, None])
X_tr, X_te = (torch.tensor(sx.transform(a), dtype=torch.float32) for a in (X_tr, X_te))
y_tr, y_te = (torch.tensor(sy.transform(a[:, None]), dtype=torch.float32) for a in (y_tr, y_te))

net = torch.nn.Sequential(
    torch.nn.Linear(4, args.hidden),
    torch.nn.Tanh(),
    torch.nn.Linear(args.hidden, 1),
)
print("weights:", sum(p.numel() for p in net.parameters()), " training rows:", len(X_tr))
# etas and step limits: the usual ones, except that a step may not exceed 1
opt = torch.optim.Rprop(net.parameters(), lr=0.01, etas=(0.5, 1.2), step_sizes=(1e-6, 1.0))

for it in range(1, args.iterations + 1):
    opt.zero_grad()
    loss = torch.nn.functional.mse_loss(net(X_tr), y_tr)
    loss.backward()
    opt.step()
    if it % 25 == 0:
        with torch.no_grad():
            pred = net(X_te)
            test = torch.nn.functional.mse_loss(pred, y_te).item()
            rmse = ((pred - y_te) * sy.scale_[0]).pow(2).mean().sqrt().item()
        print("iteration %4d   train %.4f   test %.4f   rmse %.1f" % (it, loss.item(), test, rmse))
