import argparse

import torch
import torch.nn as nn
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset


class DeepTabular(nn.Module):
    def __init__(self, in_dim, width, depth, classes):
        super().__init__()
        self.inp = nn.Linear(in_dim, width)
        self.hidden = [nn.Linear(width, width) for _ in range(depth)]
        self.out = nn.Linear(width, classes)
        self.act = nn.GELU()

    def forward(self, x):
        x = self.act(self.inp(x))
        for layer in self.hidden:
            x = self.act(layer(x))
        return self.out(x)


def accuracy(model, loader):
    model.eval()
    right = total = 0
    with torch.inference_mode():
        for x, y in loader:
            right += (model(x).argmax(-1) == y).sum().item()
            total += y.numel()
    return right / total


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=12)
    ap.add_argument("--depth", type=int, default=3)
    ap.add_argument("--lr", type=float, default=1e-3)
    cfg = ap.parse_args()
    torch.manual_seed(cfg.seed)

    X, y = make_classification(
        3000, 16, n_informative=10, n_classes=3, class_sep=1.5, flip_y=0.0, random_state=7 + cfg.seed
    )
    X = ((X - X.mean(0)) / X.std(0)).astype("float32")
    X_tr, X_te, y_tr, y_te = train_test_split(X, y, test_size=600, random_state=cfg.seed)
    train = DataLoader(TensorDataset(torch.from_numpy(X_tr), torch.from_numpy(y_tr)), batch_size=48, shuffle=True)
    test = DataLoader(TensorDataset(torch.from_numpy(X_te), torch.from_numpy(y_te)), batch_size=256)

    net = DeepTabular(16, 64, cfg.depth, 3)
    print("trainable parameters:", sum(p.numel() for p in net.parameters()))
    opt = torch.optim.AdamW(net.parameters(), lr=cfg.lr, weight_decay=1e-2)
    ce = nn.CrossEntropyLoss()
    for epoch in range(cfg.epochs):
        net.train()
        mean_loss = 0.0
        for i, (x, t) in enumerate(train):
            opt.zero_grad(set_to_none=True)
            loss = ce(net(x), t)
            loss.backward()
            opt.step()
            mean_loss += (loss.item() - mean_loss) / (i + 1)
        print(f"ep {epoch:>2} loss {mean_loss:.4f} test acc {accuracy(net, test):.4f}")


if __name__ == "__main__":
    main()
