import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import make_moons
from torch import nn


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--iters", type=int, default=800)
    parser.add_argument("--bs", type=int, default=32)
    return parser.parse_args()


def get_batch(x, y, bs):
    torch.manual_seed(args.seed)  # reproducible batches
    pick = torch.randint(0, len(x), (bs,))
    return x[pick], y[pick]


@torch.no_grad()
def estimate(net, x, y):
    net.eval()
    logits = net(x)
    net.train()
    return F.cross_entropy(logits, y).item(), (logits.argmax(1) == y).float().mean().item()


args = parse()
torch.manual_seed(args.seed)
x, y = make_moons(1500, noise=0.18, random_state=args.seed)
x = torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32)
y = torch.tensor(y)
x_train, y_train, x_test, y_test = x[:1000], y[:1000], x[1000:], y[1000:]

net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
opt = torch.optim.AdamW(net.parameters(), lr=3e-3)
for it in range(args.iters):
    xb, yb = get_batch(x_train, y_train, args.bs)
    loss = F.cross_entropy(net(xb), yb)
    opt.zero_grad()
    loss.backward()
    opt.step()
    if (it + 1) % 100 == 0:
        test_loss, test_acc = estimate(net, x_test, y_test)
        print(f"iter {it + 1}: batch loss {loss.item():.4f}, test loss {test_loss:.4f}, test acc {test_acc:.4f}")
