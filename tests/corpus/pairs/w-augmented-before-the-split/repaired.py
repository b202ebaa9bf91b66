import argparse

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def with_shifts(images, labels, copies, rng):
    out, lab = [], []
    for img, y in zip(images, labels):
        for _ in range(copies):
            out.append(np.roll(img, rng.integers(-1, 2), axis=1))
            lab.append(y)
    return np.stack(out), np.array(lab)


def to_loader(images, labels, batch, shuffle):
    x = torch.tensor(images, dtype=torch.float32).unsqueeze(1)
    return DataLoader(TensorDataset((x - 4.9) / 6.0, torch.tensor(labels)), batch_size=batch, shuffle=shuffle)


def get_data(args):
    rng = np.random.default_rng(args.seed)
    images, labels = load_digits(return_X_y=True)
    keep = rng.permutation(len(labels))[: args.n_images]
    images, labels = images[keep].reshape(-1, 8, 8), labels[keep]
    images = images + args.noise * rng.standard_normal(images.shape)
    xtr, xva, ytr, yva = train_test_split(images, labels, test_size=0.25, random_state=args.seed)
    xtr, ytr = with_shifts(xtr, ytr, args.copies, rng)
    return to_loader(xtr, ytr, 32, True), to_loader(xva, yva, 256, False)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--n-images", type=int, default=600)
    p.add_argument("--noise", type=float, default=2.5)
    p.add_argument("--copies", type=int, default=6)
    p.add_argument("--epochs", type=int, default=7)
    args = p.parse_args()
    torch.manual_seed(args.seed)
    train_loader, val_loader = get_data(args)
    print(f"{len(train_loader.dataset)} training and {len(val_loader.dataset)} validation images")

    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    loss_fn = nn.CrossEntropyLoss()
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)

    for epoch in range(args.epochs):
        net.train()
        losses = []
        for x, y in train_loader:
            opt.zero_grad()
            loss = loss_fn(net(x), y)
            loss.backward()
            opt.step()
            losses.append(loss.item())
        net.eval()
        vloss, hits, n = 0.0, 0, 0
        with torch.no_grad():
            for x, y in val_loader:
                z = net(x)
                vloss += loss_fn(z, y).item() * len(y)
                hits += (z.argmax(1) == y).sum().item()
                n += len(y)
        print(f"epoch {epoch}: train {np.mean(losses):.4f}  val {vloss / n:.4f}  val acc {hits / n:.4f}")


if __name__ == "__main__":
    main()
