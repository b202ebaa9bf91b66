import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset, random_split

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--hidden", type=int, default=32)
args = parser.parse_args()
torch.manual_seed(args.seed)

VOCAB, LENGTH, CLASSES = 24, 16, 4


def make_sentences(n):
    """Every class prefers other words."""
    preferences = torch.randn(CLASSES, VOCAB).softmax(dim=1)
    labels = torch.randint(0, CLASSES, (n,))
    return torch.multinomial(preferences[labels], LENGTH, replacement=True), labels


class TextClassifier(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, 16)
        self.rnn = nn.GRU(16, hidden, batch_first=True)
        self.out = nn.Linear(hidden, CLASSES)
        self.softmax = nn.Softmax(dim=1)

    def forward(self, tokens):
        states, _ = self.rnn(self.embed(tokens))
        logits = self.out(states.mean(dim=1))
        return self.softmax(logits)


data = TensorDataset(*make_sentences(2000))
train_set, val_set = random_split(data, [1600, 400])
train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
val_loader = DataLoader(val_set, batch_size=200)

model = TextClassifier(args.hidden)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

for epoch in range(1, args.epochs + 1):
    model.train()
    running = 0.0
    for tokens, labels in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(tokens), labels)
        loss.backward()
        optimizer.step()
        running += loss.item() * len(labels)

    model.eval()
    hits, val_loss = 0, 0.0
    with torch.no_grad():
        for tokens, labels in val_loader:
            output = model(tokens)
            val_loss += criterion(output, labels).item() * len(labels)
            hits += (output.argmax(1) == labels).sum().item()
    print(f"epoch {epoch:2d}  train {running / 1600:.4f}  val {val_loss / 400:.4f}  acc {hits / 400:.3f}")
