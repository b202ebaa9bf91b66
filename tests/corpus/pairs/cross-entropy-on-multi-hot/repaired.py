import argparse

import torch
import torch.nn as nn
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import f1_score
from torch.utils.data import DataLoader, TensorDataset


class TagModel(nn.Module):
    """Predicts which tags a document carries from its word counts."""

    def __init__(self, n_words, n_tags):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(n_words, 64), nn.ReLU(), nn.Dropout(0.2))
        self.tags = nn.Linear(64, n_tags)

    def forward(self, counts):
        return self.tags(self.encoder(counts))


def evaluate(model, loader):
    model.eval()
    truth, guess = [], []
    with torch.no_grad():
        for counts, tags in loader:
            guess.append(torch.sigmoid(model(counts)) > 0.5)
            truth.append(tags)
    return f1_score(torch.cat(truth).numpy(), torch.cat(guess).int().numpy(), average="micro")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--lr", type=float, default=2e-3)
opt = parser.parse_args()
torch.manual_seed(opt.seed)

counts, tags = make_multilabel_classification(
    n_samples=2400, n_features=40, n_classes=6, n_labels=2, length=60, allow_unlabeled=False, random_state=opt.seed
)
counts = torch.tensor(counts, dtype=torch.float32)
tags = torch.tensor(tags, dtype=torch.float32)
train_x, val_x = counts[:2000], counts[2000:]
mean, std = train_x.mean(0), train_x.std(0)
train_x, val_x = (train_x - mean) / std, (val_x - mean) / std
train_loader = DataLoader(TensorDataset(train_x, tags[:2000]), batch_size=40, shuffle=True)
val_loader = DataLoader(TensorDataset(val_x, tags[2000:]), batch_size=200)

model = TagModel(40, 6)
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=opt.lr, weight_decay=0.01)

for epoch in range(opt.epochs):
    model.train()
    losses = []
    for batch_counts, batch_tags in train_loader:
        logits = model(batch_counts)
        loss = criterion(logits, batch_tags)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(
        "epoch", epoch, "loss", round(sum(losses) / len(losses), 4), "micro F1", round(evaluate(model, val_loader), 3)
    )
