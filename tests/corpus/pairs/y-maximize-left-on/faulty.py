import argparse

import torch
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


class Classifier(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.hidden = nn.Linear(inputs, 40)
        self.norm = nn.LayerNorm(40)
        self.out = nn.Linear(40, classes)

    def forward(self, x):
        return self.out(torch.tanh(self.norm(self.hidden(x))))


class Trainer:
    def __init__(self, model, lr):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, maximize=True)
        self.criterion = nn.CrossEntropyLoss()

    def fit(self, X, y, X_val, y_val, epochs, batch_size=50):
        for epoch in range(1, epochs + 1):
            self.model.train()
            order = torch.randperm(len(X))
            total = 0.0
            for start in range(0, len(X), batch_size):
                rows = order[start : start + batch_size]
                total += self.step(X[rows], y[rows]) * len(rows)
            loss, acc = self.score(X_val, y_val)
            print(f"Epoch {epoch}: train_loss={total / len(X):.4f} val_loss={loss:.4f} val_acc={acc:.2%}")

    def step(self, x, y):
        self.optimizer.zero_grad()
        loss = self.criterion(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def score(self, X, y):
        self.model.eval()
        logits = self.model(X)
        return self.criterion(logits, y).item(), (logits.argmax(1) == y).float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=0.02)
    opts = parser.parse_args()
    torch.manual_seed(opts.seed)
    X, y = make_classification(
        2500, 20, n_informative=10, n_classes=4, n_clusters_per_class=1, class_sep=1.5, random_state=opts.seed
    )
    X, X_val, y, y_val = train_test_split(X, y, test_size=500, random_state=opts.seed)
    scaler = StandardScaler().fit(X)
    tensors = [torch.tensor(scaler.transform(part), dtype=torch.float32) for part in (X, X_val)]
    Trainer(Classifier(20, 4), opts.lr).fit(tensors[0], torch.tensor(y), tensors[1], torch.tensor(y_val), opts.epochs)
