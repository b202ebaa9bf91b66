"""Early-exit network: each stage has its own classifier, all are trained together."""

import argparse
from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn


@dataclass
class Options:
    seed: int
    epochs: int
    batch: int
    lr: float
    confidence: float


class Stage(nn.Module):
    def __init__(self, d_in, d_out, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(d_in, d_out), nn.LayerNorm(d_out), nn.GELU())
        self.exit = nn.Linear(d_out, classes)

    def forward(self, x):
        h = self.body(x)
        return h, self.exit(h)


class EarlyExit(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList([Stage(64, 12, 10), Stage(12, 64, 10), Stage(64, 64, 10)])
        self.skip = nn.Linear(64, 12)

    def forward(self, x):
        outs = []
        h = x
        for k, stage in enumerate(self.stages):
            if k == 1:
                h = h + self.skip(x)
            h, z = stage(h)
            outs.append(z)
        return outs

    @torch.no_grad()
    def infer(self, x, confidence):
        outs = self(x)
        answer = outs[-1].argmax(1)
        depth = torch.full((len(x),), len(outs))
        for k in range(len(outs) - 2, -1, -1):
            p, label = outs[k].softmax(1).max(1)
            sure = p > confidence
            answer[sure], depth[sure] = label[sure], k + 1
        return answer, depth


def run(o: Options):
    torch.manual_seed(o.seed)
    x, y = load_digits(return_X_y=True)
    xtr, xte, ytr, yte = train_test_split((x - 4.88) / 6.02, y, test_size=0.25, stratify=y, random_state=o.seed)
    xtr, xte = torch.tensor(xtr).float(), torch.tensor(xte).float()
    ytr, yte = torch.tensor(ytr), torch.tensor(yte)
    net = EarlyExit()
    weights = (0.3, 0.3, 1.0)
    opt = torch.optim.AdamW(net.parameters(), lr=o.lr, weight_decay=0.05)
    for epoch in range(o.epochs):
        net.train()
        sums = [0.0, 0.0, 0.0]
        order = torch.randperm(len(xtr))
        for i in range(0, len(order), o.batch):
            j = order[i : i + o.batch]
            losses = [nn.functional.cross_entropy(z, ytr[j], label_smoothing=0.05) for z in net(xtr[j])]
            loss = sum(w * l for w, l in zip(weights, losses))
            opt.zero_grad()
            loss.backward()
            opt.step()
            sums = [s + l.item() * len(j) for s, l in zip(sums, losses)]
        net.eval()
        with torch.no_grad():
            accs = [(z.argmax(1) == yte).float().mean().item() for z in net(xte)]
        answer, depth = net.infer(xte, o.confidence)
        print(
            f"{epoch + 1:2d} losses "
            + " ".join(f"{s / len(xtr):.3f}" for s in sums)
            + " | test acc "
            + " ".join(f"{a:.3f}" for a in accs)
            + f" | with exits {(answer == yte).float().mean():.3f} at mean depth {depth.float().mean():.2f}"
        )


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=12)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--confidence", type=float, default=0.8)
    run(Options(**vars(p.parse_args())))
