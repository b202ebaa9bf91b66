import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader


class Reviews(torch.utils.data.Dataset):
    """Made-up reviews: positive and negative words among neutral ones."""

    def __init__(self, n, vocab=300):
        self.items = []
        for _ in range(n):
            label = int(torch.rand(1) < 0.5)
            neutral = torch.randint(60, vocab, (int(torch.randint(5, 20, (1,))),))
            opinion = torch.randint(0, 30, (3,)) + 30 * label
            stray = torch.randint(0, 60, (1,))
            self.items.append((torch.cat([neutral, opinion, stray]), float(label)))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def collate(batch):
    words = torch.cat([w for w, _ in batch])
    offsets = torch.tensor([0] + [len(w) for w, _ in batch[:-1]]).cumsum(0)
    return words, offsets, torch.tensor([label for _, label in batch])


class Sentiment(nn.Module):
    def __init__(self, vocab=300, dim=24):
        super().__init__()
        self.bag = nn.EmbeddingBag(vocab, dim, mode="mean")
        self.mlp = nn.Sequential(nn.Linear(dim, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, words, offsets):
        return self.mlp(self.bag(words, offsets)).squeeze(1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--lr", type=float, default=4e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

train_loader = DataLoader(Reviews(2400), batch_size=32, shuffle=True, collate_fn=collate)
val_loader = DataLoader(Reviews(600), batch_size=100, collate_fn=collate)

model = Sentiment()
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lr_lambda=lambda epoch: args.lr * 0.9**epoch)

for epoch in range(args.epochs):
    model.train()
    total = 0.0
    for words, offsets, labels in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(words, offsets), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
    scheduler.step()
    model.eval()
    right = count = 0
    with torch.no_grad():
        for words, offsets, labels in val_loader:
            right += ((model(words, offsets) > 0) == (labels > 0.5)).sum().item()
            count += len(labels)
    print(f"epoch {epoch + 1}: loss={total / len(train_loader):.4f} val_acc={right / count:.3f}")
