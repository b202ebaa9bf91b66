import argparse
import io

import torch
from sklearn.datasets import make_classification
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def make_model():
    return nn.Sequential(nn.Linear(24, 48), nn.ReLU(), nn.Dropout(0.2), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 4))


def make_optimizer(model, lr):
    return torch.optim.Adam(model.parameters(), lr=lr, weight_decay=1e-4)


def get_loaders(seed):
    x, y = make_classification(
        3000, n_features=24, n_informative=12, n_classes=4, n_clusters_per_class=1, class_sep=1.5, random_state=seed
    )
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    x = (x - x[:2400].mean(0)) / x[:2400].std(0)
    train, val = TensorDataset(x[:2400], y[:2400]), TensorDataset(x[2400:], y[2400:])
    return DataLoader(train, batch_size=48, shuffle=True), DataLoader(val, batch_size=200)


def train(model, optimizer, loaders, first, last):
    criterion = nn.CrossEntropyLoss()
    train_loader, val_loader = loaders
    for epoch in range(first, last + 1):
        model.train()
        loss_sum = 0.0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item()
        model.eval()
        val_loss, hits = 0.0, 0
        with torch.no_grad():
            for x, y in val_loader:
                logits = model(x)
                val_loss += criterion(logits, y).item()
                hits += (logits.argmax(1) == y).sum().item()
        print(f"epoch {epoch}: {loss_sum / len(train_loader):.4f} {val_loss / len(val_loader):.4f} {hits / 600:.3f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--stop-after", type=int, default=6)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    loaders = get_loaders(args.seed)

    model = make_model()
    optimizer = make_optimizer(model, args.lr)
    train(model, optimizer, loaders, 1, args.stop_after)
    checkpoint = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, checkpoint)

    # the second job of the chain picks the training up again, at a lower rate
    checkpoint.seek(0)
    saved = torch.load(checkpoint, weights_only=True)
    model = make_model()
    model.load_state_dict(saved["model"])
    optimizer = make_optimizer(model, args.lr)
    optimizer.load_state_dict(saved["optimizer"])
    for group in optimizer.param_groups:
        group["lr"] = args.lr * 0.3
    print(f"resuming after epoch {args.stop_after}")
    train(model, optimizer, loaders, args.stop_after + 1, args.epochs)


if __name__ == "__main__":
    main()
