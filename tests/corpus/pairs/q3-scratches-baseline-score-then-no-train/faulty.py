import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F


class ConvUnit(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class ScratchNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = ConvUnit(1, 8)
        self.stage1 = nn.Sequential(ConvUnit(8, 12), ConvUnit(12, 12))
        self.stage2 = nn.Sequential(ConvUnit(12, 16), ConvUnit(16, 16), ConvUnit(16, 16))
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        x = F.max_pool2d(self.stem(x), 2)
        x = F.max_pool2d(self.stage1(x), 2)
        x = self.stage2(x).mean((2, 3))
        return self.head(self.drop(x))


def plates(n, g):
    """Brushed plates with 0-4 scratches (short bright lines)."""
    img = 0.3 * torch.randn(n, 1, 16, 16, generator=g)
    count = torch.randint(0, 5, (n,), generator=g)
    for i in range(n):
        rows = torch.randperm(8, generator=g)[: int(count[i])] * 2
        cols = torch.randint(0, 10, (len(rows),), generator=g)
        for r, c in zip(rows.tolist(), cols.tolist()):
            img[i, 0, r, c : c + 6] += 1.5
    return img, count


@torch.no_grad()
def evaluate(model, x, y):
    model.eval()
    logits = torch.cat([model(part) for part in x.split(250)])
    return F.cross_entropy(logits, y).item(), (logits.argmax(1) == y).float().mean().item()


def train_one_epoch(model, optimizer, x, y, batch_size):
    losses = []
    for idx in torch.randperm(len(x)).split(batch_size):
        loss = F.cross_entropy(model(x[idx]), y[idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=8)
    ap.add_argument("--batch-size", type=int, default=32)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed + 7)
    x_train, y_train = plates(1500, g)
    x_val, y_val = plates(500, g)

    model = ScratchNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    loss, acc = evaluate(model, x_val, y_val)
    print(f"before training: val loss {loss:.3f}, val acc {acc:.3f}")
    for epoch in range(args.epochs):
        train_loss = train_one_epoch(model, optimizer, x_train, y_train, args.batch_size)
        scheduler.step()
        loss, acc = evaluate(model, x_val, y_val)
        print(f"epoch {epoch + 1}: train loss {train_loss:.3f}, val loss {loss:.3f}, val acc {acc:.3f}")


if __name__ == "__main__":
    main()
