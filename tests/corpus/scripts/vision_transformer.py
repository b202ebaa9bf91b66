import argparse
import math

import torch
import torch.nn as nn
from fingerprint import leave
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split


class PatchExtractor(nn.Module):
    def __init__(self, patch_size=2):
        super().__init__()
        self.patch_size = patch_size

    def forward(self, images):
        b, c, h, w = images.size()
        p = self.patch_size
        patches = images.unfold(2, p, p).unfold(3, p, p).contiguous()
        return patches.view(b, c, -1, p * p).permute(0, 2, 3, 1).reshape(b, -1, c * p * p)


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attn = nn.MultiheadAttention(d, heads, dropout=0.1, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Dropout(0.1), nn.Linear(2 * d, d))

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self, d=24, depth=2, heads=4):
        super().__init__()
        self.patch = PatchExtractor()
        self.embed = nn.Linear(4, d)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, d))
        self.pos = nn.Parameter(torch.randn(1, 17, d) * 0.02)
        self.blocks = nn.ModuleList(Block(d, heads) for _ in range(depth))
        self.head = nn.Linear(d, 10)

    def forward(self, x):
        x = self.embed(self.patch(x))
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, 0])


def get_args():
    parser = argparse.ArgumentParser(description="Vision Transformer Training Script")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=3e-3)
    return parser.parse_args()


if __name__ == "__main__":
    args = get_args()
    torch.manual_seed(4)
    digits = load_digits()
    images = torch.tensor(digits.images / 16).float().unsqueeze(1)
    data = TensorDataset(images[:800], torch.tensor(digits.target[:800]))
    train_set, val_set = random_split(data, [0.8, 0.2], generator=torch.Generator().manual_seed(1))
    train_loader = DataLoader(train_set, 32, shuffle=True, drop_last=True, generator=torch.Generator().manual_seed(2))
    val_loader = DataLoader(val_set, 64)
    model = ViT()
    decay = [p for n, p in model.named_parameters() if p.dim() > 1 and "pos" not in n]
    no_decay = [p for n, p in model.named_parameters() if p.dim() <= 1 or "pos" in n]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": no_decay, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.lr)
    total = args.epochs * len(train_loader)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min(1, (s + 1) / 5) * (0.5 + 0.5 * math.cos(math.pi * s / total))
    )
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    for epoch in range(args.epochs):
        model.train()
        for i, (x, y) in enumerate(train_loader):
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(model(x), y)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if i % 5 == 0:
                print(epoch, i, repr(loss.item()), repr(norm.item()), schedule.get_last_lr()[0])
        model.eval()
        with torch.inference_mode():
            right = sum((model(x).argmax(1) == y).sum().item() for x, y in val_loader)
        print(f"epoch {epoch} accuracy {right / len(val_set)!r}")
    leave(model, optimizer)
