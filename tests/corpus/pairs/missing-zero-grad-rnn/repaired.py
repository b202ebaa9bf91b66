"""Count how often the symbol A appears before the first B: as 4 classes (0, 1, 2, more)."""

import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset


class SymbolDataset(Dataset):
    def __init__(self, n, length=14):
        self.sequences = torch.randint(0, 4, (n, length))
        seen_b = (self.sequences == 1).cumsum(1) > 0
        count = ((self.sequences == 0) & ~seen_b).sum(1)
        self.labels = count.clamp(max=3)

    def __len__(self):
        return len(self.sequences)

    def __getitem__(self, i):
        return self.sequences[i], self.labels[i]


class SymbolRNN(nn.Module):
    def __init__(self, hidden=40):
        super().__init__()
        self.embed = nn.Embedding(4, 8)
        self.rnn = nn.GRU(8, hidden, batch_first=True)
        self.drop = nn.Dropout(0.1)
        self.fc = nn.Linear(hidden, 4)

    def forward(self, seq):
        _, h = self.rnn(self.embed(seq))
        return self.fc(self.drop(h[-1]))


class Runner:
    def __init__(self, args):
        self.args = args
        self.train_loader = DataLoader(SymbolDataset(1600), batch_size=32, shuffle=True)
        self.val_loader = DataLoader(SymbolDataset(400), batch_size=200)
        self.model = SymbolRNN()
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=args.lr)

    def training_step(self, batch):
        seq, label = batch
        return self.criterion(self.model(seq), label)

    def run(self):
        for epoch in range(self.args.epochs):
            self.model.train()
            losses = []
            for batch in self.train_loader:
                self.optimizer.zero_grad()
                loss = self.training_step(batch)
                loss.backward()
                self.optimizer.step()
                losses.append(loss.item())
            print(f"Epoch {epoch}: train_loss={sum(losses) / len(losses):.3f} val_acc={self.validate():.3f}")

    def validate(self):
        self.model.eval()
        correct = total = 0
        with torch.no_grad():
            for seq, label in self.val_loader:
                correct += (self.model(seq).argmax(1) == label).sum().item()
                total += len(label)
        return correct / total


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=5e-3)
    cli = parser.parse_args()
    torch.manual_seed(cli.seed)
    Runner(cli).run()
