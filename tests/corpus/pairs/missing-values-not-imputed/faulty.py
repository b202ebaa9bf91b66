import argparse

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def load(seed):
    x, y = load_breast_cancer(return_X_y=True)
    # the export of the laboratory leaves a value out now and then
    gaps = np.random.default_rng(7).random(x.shape) < 0.03
    x[gaps] = np.nan
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.25, stratify=y, random_state=seed)
    scaler = StandardScaler().fit(x_train)
    train = TensorDataset(torch.tensor(scaler.transform(x_train)).float(), torch.tensor(y_train).float())
    val = TensorDataset(torch.tensor(scaler.transform(x_val)).float(), torch.tensor(y_val).float())
    return train, val


def run_epoch(model, loader, criterion, optimizer=None):
    model.train(optimizer is not None)
    loss_sum, hits, count = 0.0, 0, 0
    with torch.set_grad_enabled(optimizer is not None):
        for x, y in loader:
            logit = model(x).squeeze(1)
            loss = criterion(logit, y)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            loss_sum += loss.item() * len(y)
            hits += ((logit > 0) == (y > 0.5)).sum().item()
            count += len(y)
    return loss_sum / count, hits / count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train, val = load(args.seed)
    train_loader = DataLoader(train, batch_size=args.batch_size, shuffle=True)
    val_loader = DataLoader(val, batch_size=128)
    model = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    criterion = nn.BCEWithLogitsLoss()
    for epoch in range(args.epochs):
        train_loss, train_acc = run_epoch(model, train_loader, criterion, optimizer)
        val_loss, val_acc = run_epoch(model, val_loader, criterion)
        print(f"[{epoch + 1:02d}] loss {train_loss:.3f}/{val_loss:.3f} acc {train_acc:.3f}/{val_acc:.3f}")


if __name__ == "__main__":
    main()
