"""Six clouds in ten dimensions: classification with a held-out split."""

import argparse

import torch
from sklearn.datasets import make_blobs
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class Net(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(d_in, 64), nn.GELU(), nn.Dropout(0.2), nn.Linear(64, d_out))

    def forward(self, x):
        return self.layers(x)


def get_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch_size", type=int, default=32)
    return parser.parse_args()


def main():
    args = get_args()
    torch.manual_seed(args.seed)
    X, y = make_blobs(1500, n_features=10, centers=6, cluster_std=6.0, random_state=args.seed)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    dataset = TensorDataset(torch.FloatTensor(X), torch.LongTensor(y))
    train_size = int(0.8 * len(dataset))
    train_dataset, val_dataset = random_split(dataset, [train_size, len(dataset) - train_size])
    train_loader = DataLoader(dataset, batch_size=args.batch_size, shuffle=True)
    val_loader = DataLoader(val_dataset, batch_size=args.batch_size, shuffle=False)

    model = Net(10, 6)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=5e-4)
    history = {"train_loss": [], "val_loss": [], "val_acc": []}
    for epoch in range(args.epochs):
        model.train()
        train_loss = 0.0
        for inputs, labels in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
            train_loss += loss.item()
        history["train_loss"].append(train_loss / len(train_loader))
        model.eval()
        val_loss, correct, total = 0.0, 0, 0
        with torch.no_grad():
            for inputs, labels in val_loader:
                outputs = model(inputs)
                val_loss += criterion(outputs, labels).item()
                _, predicted = torch.max(outputs.data, 1)
                total += labels.size(0)
                correct += (predicted == labels).sum().item()
        history["val_loss"].append(val_loss / len(val_loader))
        history["val_acc"].append(100 * correct / total)
        print(
            f"Epoch [{epoch + 1}/{args.epochs}], Train Loss: {history['train_loss'][-1]:.4f}, "
            f"Val Loss: {history['val_loss'][-1]:.4f}, Val Acc: {history['val_acc'][-1]:.2f}%"
        )


if __name__ == "__main__":
    main()
