import argparse
import tempfile

import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.tensorboard import SummaryWriter


def loaders(seed):
    x, y = load_wine(return_X_y=True)
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.3, stratify=y, random_state=seed)
    scaler = StandardScaler().fit(x_train)

    def wrap(features, labels, shuffle):
        data = TensorDataset(torch.tensor(scaler.transform(features)).float(), torch.tensor(labels))
        return DataLoader(data, batch_size=16, shuffle=shuffle)

    return wrap(x_train, y_train, True), wrap(x_val, y_val, False)


def evaluate(model, loader, criterion):
    model.eval()
    loss, correct = 0.0, 0
    with torch.no_grad():
        for x, y in loader:
            out = model(x)
            loss += criterion(out, y).item()
            correct += (out.argmax(1) == y).sum().item()
    return loss / len(loader), correct / len(loader)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logdir", default=None)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train_loader, val_loader = loaders(args.seed)
    model = nn.Sequential(nn.Linear(13, 24), nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, 3))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    with tempfile.TemporaryDirectory() as scratch, SummaryWriter(args.logdir or scratch) as writer:
        for epoch in range(args.epochs):
            model.train()
            train_loss = 0.0
            for x, y in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                train_loss += loss.item() / len(train_loader)
            val_loss, val_acc = evaluate(model, val_loader, criterion)
            writer.add_scalar("train/loss", train_loss, epoch)
            writer.add_scalar("val/loss", val_loss, epoch)
            writer.add_scalar("val/accuracy", val_acc, epoch)
            print(f"epoch {epoch}: train {train_loss:.4f} val {val_loss:.4f} accuracy {val_acc:.4f}")


if __name__ == "__main__":
    main()
