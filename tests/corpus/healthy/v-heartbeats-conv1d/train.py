"""1-D CNN on synthetic heart beats: normal, widened and early beats."""

import argparse

import torch
import torch.nn as nn
from sklearn.metrics import f1_score
from torch.utils.data import DataLoader, TensorDataset


def bump(t, center, width, height):
    return height * torch.exp(-0.5 * ((t - center) / width) ** 2)


def make_beats(n, length=96):
    t = torch.linspace(0, 1, length).expand(n, length)
    label = torch.multinomial(torch.tensor([0.6, 0.25, 0.15]), n, replacement=True)
    wide = (label == 1).float()[:, None]
    early = (label == 2).float()[:, None]
    jitter = lambda s: 1 + s * torch.randn(n, 1)
    shift = 0.03 * torch.randn(n, 1)
    p_wave = bump(t, 0.25 + shift, 0.03, 0.2 * jitter(0.2)) * (1 - early)
    qrs = bump(t, 0.42 + shift - 0.08 * early, 0.012 + 0.02 * wide, 1.0 * jitter(0.1))
    s_wave = bump(t, 0.47 + shift - 0.08 * early, 0.015 + 0.015 * wide, -0.3 * jitter(0.2))
    t_wave = bump(t, 0.7 + shift, 0.05, 0.3 * jitter(0.2)) * (1 - 1.5 * wide)
    x = p_wave + qrs + s_wave + t_wave + 0.08 * torch.randn(n, length)
    return x.unsqueeze(1), label


def conv_block(c_in, c_out, k):
    return nn.Sequential(
        nn.Conv1d(c_in, c_out, k, padding=k // 2, bias=False), nn.BatchNorm1d(c_out), nn.ReLU(), nn.MaxPool1d(2)
    )


class BeatNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(conv_block(1, 12, 7), conv_block(12, 24, 5), conv_block(24, 32, 3))
        self.head = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(32, 3))

    def forward(self, x):
        return self.head(self.features(x))


def run_epoch(model, loader, criterion, optimizer=None):
    training = optimizer is not None
    model.train(training)
    losses, preds, labels = 0.0, [], []
    with torch.set_grad_enabled(training):
        for x, y in loader:
            out = model(x)
            loss = criterion(out, y)
            if training:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            losses += loss.item() * len(y)
            preds.append(out.detach().argmax(1))
            labels.append(y)
    preds, labels = torch.cat(preds), torch.cat(labels)
    return losses / len(labels), f1_score(labels, preds, average="macro")


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=10)
    ap.add_argument("--lr", type=float, default=2e-3)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    x, y = make_beats(2400)
    x = (x - x[:2000].mean()) / x[:2000].std()
    train_loader = DataLoader(TensorDataset(x[:2000], y[:2000]), batch_size=40, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[2000:], y[2000:]), batch_size=200)
    model = BeatNet()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs)
    for epoch in range(args.epochs):
        tr_loss, tr_f1 = run_epoch(model, train_loader, criterion, optimizer)
        scheduler.step()
        va_loss, va_f1 = run_epoch(model, val_loader, criterion)
        print(f"epoch {epoch + 1} | train {tr_loss:.4f} f1 {tr_f1:.3f} | val {va_loss:.4f} f1 {va_f1:.3f}")
