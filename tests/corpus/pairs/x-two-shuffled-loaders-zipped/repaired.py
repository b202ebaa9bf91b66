import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SIZE = 12


def draw(kind):
    canvas = 0.25 * torch.randn(SIZE, SIZE)
    r = int(torch.randint(2, 4, (1,)))
    cy, cx = (int(v) for v in torch.randint(r, SIZE - r, (2,)))
    ys, xs = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    if kind == 0:
        shape = ((ys - cy).abs() <= r) & ((xs - cx).abs() <= r)
    elif kind == 1:
        shape = (ys - cy) ** 2 + (xs - cx) ** 2 <= r * r
    else:
        shape = ((ys == cy) & ((xs - cx).abs() <= r)) | ((xs == cx) & ((ys - cy).abs() <= r))
    return canvas + shape.float()


def make_set(n):
    kinds = torch.randint(0, 3, (n,))
    images = torch.stack([draw(int(k)) for k in kinds]).unsqueeze(1)
    return (images - 0.15) / 0.45, kinds


def make_net():
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 3),
    )


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=10)
args = parser.parse_args()
torch.manual_seed(args.seed)

images, kinds = make_set(1600)
val_images, val_kinds = make_set(300)
loader = DataLoader(TensorDataset(images, kinds), batch_size=32, shuffle=True)

net = make_net()
loss_fn = nn.CrossEntropyLoss()
opt = torch.optim.Adam(net.parameters(), lr=3e-3)

for epoch in range(args.epochs):
    net.train()
    loss_sum, hits = 0.0, 0
    for batch, labels in loader:
        out = net(batch)
        loss = loss_fn(out, labels)
        opt.zero_grad()
        loss.backward()
        opt.step()
        loss_sum += loss.item() * len(labels)
        hits += (out.argmax(1) == labels).sum().item()
    net.eval()
    with torch.no_grad():
        out = net(val_images)
        val_acc = (out.argmax(1) == val_kinds).float().mean().item()
    print(f"epoch {epoch}: loss {loss_sum / 1600:.4f} acc {hits / 1600:.3f} val_acc {val_acc:.3f}")
