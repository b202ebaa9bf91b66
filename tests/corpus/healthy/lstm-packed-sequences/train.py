"""Does the bracket sequence close correctly? Variable lengths, packed for the LSTM."""

import argparse
import random

import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset


def balanced(rng, pairs):
    out, depth, left = [], 0, pairs
    while left or depth:
        if left and (depth == 0 or (depth < 5 and rng.random() < 0.5)):
            out.append(1)
            depth, left = depth + 1, left - 1
        else:
            out.append(2)
            depth -= 1
    return out


class Brackets(Dataset):
    def __init__(self, n, rng):
        self.items = []
        for _ in range(n):
            seq, label = balanced(rng, rng.randint(3, 10)), 1
            if rng.random() < 0.5:
                position = rng.randrange(len(seq))
                seq[position], label = 3 - seq[position], 0
            self.items.append((torch.tensor(seq), label))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def collate(batch):
    batch = sorted(batch, key=lambda item: len(item[0]), reverse=True)
    sequences, labels = zip(*batch)
    lengths = torch.tensor([len(s) for s in sequences])
    return pad_sequence(sequences, batch_first=True), lengths, torch.tensor(labels)


class BracketLSTM(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.embedding = nn.Embedding(3, 8, padding_idx=0)
        self.lstm = nn.LSTM(8, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, 2)

    def forward(self, tokens, lengths):
        packed = pack_padded_sequence(self.embedding(tokens), lengths, batch_first=True)
        _, (h, _) = self.lstm(packed)
        return self.fc(h[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--lr", type=float, default=5e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    train_loader = DataLoader(Brackets(1600, rng), batch_size=32, shuffle=True, collate_fn=collate)
    val_loader = DataLoader(Brackets(400, rng), batch_size=100, collate_fn=collate)
    model = BracketLSTM()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

    for epoch in range(args.epochs):
        model.train()
        epoch_loss = 0.0
        for tokens, lengths, labels in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(tokens, lengths), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            epoch_loss += loss.item()
        model.eval()
        correct = total = 0
        with torch.no_grad():
            for tokens, lengths, labels in val_loader:
                correct += (model(tokens, lengths).argmax(1) == labels).sum().item()
                total += len(labels)
        print(f"epoch {epoch + 1:2d} loss {epoch_loss / len(train_loader):.4f} val acc {correct / total:.3f}")


if __name__ == "__main__":
    main()
