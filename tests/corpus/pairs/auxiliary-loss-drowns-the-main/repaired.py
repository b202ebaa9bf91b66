import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class DigitWithReconstruction(nn.Module):
    """Classifier that also reconstructs its input from a 24-dimensional code."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 24), nn.ReLU())
        self.decoder = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 64))
        self.classifier = nn.Linear(24, 10)

    def forward(self, x):
        code = self.encoder(x)
        return self.classifier(code), self.decoder(code)


def compute_loss(model, x, y, weight):
    logits, reconstruction = model(x)
    classification = F.cross_entropy(logits, y)
    auxiliary = F.mse_loss(reconstruction, x)
    return classification + weight * auxiliary, classification, auxiliary, logits


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--aux-weight", type=float, default=1.0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = load_digits()
    x = torch.tensor(digits.data, dtype=torch.float32)
    x = (x - x.mean()) / x.std()
    y = torch.tensor(digits.target)
    idx = torch.randperm(len(x))
    train_loader = DataLoader(TensorDataset(x[idx[:1400]], y[idx[:1400]]), batch_size=35, shuffle=True)
    val_x, val_y = x[idx[1400:]], y[idx[1400:]]

    model = DigitWithReconstruction()
    optimizer = torch.optim.Adagrad(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        sums = torch.zeros(2)
        for xb, yb in train_loader:
            loss, ce, aux, _ = compute_loss(model, xb, yb, args.aux_weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sums += torch.tensor([ce.item(), aux.item()])
        ce_mean, aux_mean = (sums / len(train_loader)).tolist()
        model.eval()
        with torch.no_grad():
            _, _, _, logits = compute_loss(model, val_x, val_y, args.aux_weight)
            accuracy = (logits.argmax(1) == val_y).float().mean().item()
        print(f"epoch {epoch + 1:2d} ce {ce_mean:.4f} reconstruction {aux_mean:.4f} val accuracy {accuracy:.3f}")
