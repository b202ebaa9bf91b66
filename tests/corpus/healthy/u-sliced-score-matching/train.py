"""Learn the score of a ring of Gaussians with sliced score matching, check against the true score."""

import argparse
import math

import torch

ap = argparse.ArgumentParser()
ap.add_argument("--seed", type=int, default=0)
ap.add_argument("--steps", type=int, default=1200)
ap.add_argument("--batch", type=int, default=256)
args = ap.parse_args()
torch.manual_seed(args.seed)

angles = torch.arange(4) * math.pi / 2
centres = 1.2 * torch.stack([angles.cos(), angles.sin()], 1)
SIGMA = 0.5


def draw(n):
    return centres[torch.randint(0, 4, (n,))] + SIGMA * torch.randn(n, 2)


def true_score(x):
    diff = centres[None] - x[:, None]
    w = torch.softmax(-diff.pow(2).sum(-1) / (2 * SIGMA**2), dim=1)
    return (w[..., None] * diff).sum(1) / SIGMA**2


net = torch.nn.Sequential(
    torch.nn.Linear(2, 64), torch.nn.Softplus(), torch.nn.Linear(64, 64), torch.nn.Softplus(), torch.nn.Linear(64, 2)
)


def sliced_loss(x):
    x = x.detach().requires_grad_()
    v = torch.randn_like(x)
    s = net(x)
    sv = (s * v).sum()
    (hv,) = torch.autograd.grad(sv, x, create_graph=True)
    return ((hv * v).sum(1) + 0.5 * s.pow(2).sum(1)).mean()


opt = torch.optim.Adam(net.parameters(), lr=3e-3)
sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, args.steps, eta_min=1e-5)
test = draw(1000)
target = true_score(test)
mean_loss = 0.0
for step in range(1, args.steps + 1):
    loss = sliced_loss(draw(args.batch))
    opt.zero_grad()
    loss.backward()
    opt.step()
    sched.step()
    mean_loss += loss.item()
    if step % 120 == 0:
        with torch.no_grad():
            err = (net(test) - target).pow(2).sum(1).mean() / target.pow(2).sum(1).mean()
        print(f"step {step:5d}  loss {mean_loss / 120:8.4f}  relative score error {err:.4f}")
        mean_loss = 0.0
