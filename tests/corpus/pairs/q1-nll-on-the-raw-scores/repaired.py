import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import make_classification
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self, n_in, n_out):
        super(Net, self).__init__()
        self.fc1 = nn.Linear(n_in, 64)
        self.fc2 = nn.Linear(64, 64)
        self.fc3 = nn.Linear(64, n_out)
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = self.drop(x)
        x = F.relu(self.fc2(x))
        return F.log_softmax(self.fc3(x), dim=1)


def train(model, loader, optimizer, epoch):
    model.train()
    total = 0
    for data, target in loader:
        optimizer.zero_grad()
        output = model(data)
        loss = F.nll_loss(output, target)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(data)
    print("Train Epoch: {}\tLoss: {:.5f}".format(epoch, total / len(loader.dataset)))


def test(model, loader):
    model.eval()
    test_loss, preds, truth = 0, [], []
    with torch.no_grad():
        for data, target in loader:
            output = model(data)
            test_loss += F.nll_loss(output, target, reduction="sum").item()
            preds += output.argmax(dim=1).tolist()
            truth += target.tolist()
    print(
        "    Test loss: {:.4f}, macro F1: {:.3f}".format(
            test_loss / len(loader.dataset), f1_score(truth, preds, average="macro")
        )
    )


def main():
    parser = argparse.ArgumentParser(description="tabular classifier")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    X, y = make_classification(
        n_samples=3500,
        n_features=20,
        n_informative=12,
        n_redundant=4,
        n_classes=4,
        n_clusters_per_class=1,
        class_sep=1.6,
        flip_y=0.01,
        random_state=args.seed,
    )
    X_tr, X_te, y_tr, y_te = train_test_split(X, y, test_size=0.25, random_state=args.seed, stratify=y)
    scaler = StandardScaler().fit(X_tr)
    to_ds = lambda a, b: TensorDataset(torch.tensor(scaler.transform(a)).float(), torch.tensor(b))
    train_loader = DataLoader(to_ds(X_tr, y_tr), batch_size=args.batch_size, shuffle=True)
    test_loader = DataLoader(to_ds(X_te, y_te), batch_size=500)

    model = Net(20, 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        train(model, train_loader, optimizer, epoch)
        test(model, test_loader)


if __name__ == "__main__":
    main()
