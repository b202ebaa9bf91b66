import argparse
import itertools

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def endless(loader):
    while True:
        yield from loader


def score(model, loader, loss_fn):
    model.eval()
    loss, right, n = 0.0, 0, 0
    with torch.no_grad():
        for x, y in loader:
            z = model(x)
            loss += loss_fn(z, y).item() * len(y)
            right += (z.argmax(-1) == y).sum().item()
            n += len(y)
    return loss / n, right / n


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--held-out", type=float, default=0.06, help="share of the images kept for validation")
    ap.add_argument("--max-steps", type=int, default=700)
    ap.add_argument("--eval-every", type=int, default=100)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    images, labels = load_digits(return_X_y=True)
    images = (images - 4.9) / 6.0
    x_tr, x_va, y_tr, y_va = train_test_split(
        images, labels, test_size=args.held_out, stratify=labels, random_state=args.seed
    )
    as_set = lambda a, b: TensorDataset(torch.tensor(a, dtype=torch.float32), torch.tensor(b))
    train_loader = DataLoader(as_set(x_tr, y_tr), batch_size=32, shuffle=True)
    val_loader = DataLoader(as_set(x_va, y_va), batch_size=256)

    model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 48), nn.ReLU(), nn.Linear(48, 10))
    loss_fn = nn.CrossEntropyLoss()
    opt = torch.optim.Adam(model.parameters(), lr=1e-3)

    for step, (x, y) in enumerate(itertools.islice(endless(train_loader), args.max_steps), 1):
        model.train()
        opt.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        opt.step()
        if step % args.eval_every == 0:
            tl, ta = score(model, train_loader, loss_fn)
            vl, va = score(model, val_loader, loss_fn)
            print(f"step {step:4d} | train {tl:.4f} / {ta:.3f} | val {vl:.4f} / {va:.3f}")


if __name__ == "__main__":
    main()
