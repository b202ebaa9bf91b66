"""Match 8x8 digit images with noisy 'captions' (bags of stroke words) by a symmetric InfoNCE loss."""

import argparse
import math

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


class ImageTower(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.GELU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(32 * 16, dim),
        )

    def forward(self, x):
        return F.normalize(self.net(x), dim=-1)


class TextTower(nn.Module):
    def __init__(self, vocab, dim):
        super().__init__()
        self.embed = nn.Embedding(vocab, 48)
        self.mlp = nn.Sequential(nn.LayerNorm(48), nn.Linear(48, 64), nn.GELU(), nn.Linear(64, dim))

    def forward(self, tokens):
        return F.normalize(self.mlp(self.embed(tokens).mean(1)), dim=-1)


class TwoTower(nn.Module):
    def __init__(self, vocab, dim=32):
        super().__init__()
        self.image, self.text = ImageTower(dim), TextTower(vocab, dim)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.1)))

    def forward(self, img, tok):
        scale = self.logit_scale.exp().clamp(max=100)
        return scale * self.image(img) @ self.text(tok).t()


def clip_loss(logits):
    target = torch.arange(len(logits))
    return 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.t(), target))


def captions(data, drop_rate=0.1):
    """Word j of a caption names a coarse cell and its rounded ink; one word in ten is lost."""
    cells = F.avg_pool2d(data, 2).flatten(1)
    level = (cells * 4).round().long().clamp(0, 4)
    tokens = torch.arange(16) * 5 + level
    drop = torch.rand(tokens.shape) < drop_rate
    return torch.where(drop, torch.full_like(tokens, 80), tokens)


@torch.no_grad()
def recall(model, img, tok, group=90):
    model.eval()
    hits = 0
    for i in range(0, len(img), group):
        logits = model(img[i : i + group], tok[i : i + group])
        hits += (logits.argmax(1) == torch.arange(len(logits))).sum().item()
    return hits / len(img)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    img = torch.tensor(load_digits().images / 16.0, dtype=torch.float32).unsqueeze(1)
    mean, std = img.mean(), img.std()
    order = torch.randperm(len(img))
    train_raw, val_raw = img[order[:1437]], img[order[1437:]]
    val_img, val_tok = (val_raw - mean) / std, captions(val_raw)

    model = TwoTower(vocab=81)
    opt = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    for epoch in range(args.epochs):
        model.train()
        losses = []
        for idx in torch.randperm(len(train_raw)).split(args.batch_size):
            if len(idx) < args.batch_size:
                continue
            raw = train_raw[idx]
            loss = clip_loss(model((raw - mean) / std, captions(raw)))
            opt.zero_grad()
            loss.backward()
            opt.step()
            losses.append(loss.item())
        print(
            f"epoch {epoch + 1:2d} loss {sum(losses) / len(losses):.3f} "
            f"scale {model.logit_scale.exp().item():.1f} "
            f"val recall@1 {recall(model, val_img, val_tok):.3f}"
        )


if __name__ == "__main__":
    main()
