"""Reads strips of digits with a bidirectional GRU and CTC."""

import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset


class Strips(Dataset):
    def __init__(self, images, labels, n, generator):
        self.items = []
        for _ in range(n):
            length = int(torch.randint(2, 5, (1,), generator=generator))
            idx = torch.randint(len(images), (length,), generator=generator)
            self.items.append((torch.cat(list(images[idx]), dim=1), labels[idx] + 1))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def collate(batch):
    strips, labels = zip(*batch)
    lengths = torch.tensor([s.size(1) for s in strips])
    x = torch.zeros(len(strips), int(lengths.max()), 8)
    for i, s in enumerate(strips):
        x[i, : s.size(1)] = s.t()
    return x, lengths, torch.cat(labels), torch.tensor([len(t) for t in labels])


class Reader(nn.Module):
    def __init__(self, hidden=40):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(8, 48, 5, padding=2), nn.BatchNorm1d(48), nn.ReLU())
        self.rnn = nn.GRU(48, hidden, bidirectional=True, batch_first=True)
        self.out = nn.Linear(2 * hidden, 11)

    def forward(self, x):
        h, _ = self.rnn(self.conv(x.transpose(1, 2)).transpose(1, 2))
        return self.out(h).log_softmax(-1)


def decode(path):
    collapsed = [int(k) for k, prev in zip(path, [-1, *path[:-1]]) if k != prev]
    return [k for k in collapsed if k != 0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=7)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32) / 16
    labels = torch.tensor(digits.target)
    g = torch.Generator().manual_seed(args.seed)
    train = DataLoader(Strips(images[:1400], labels[:1400], 800, g), 32, shuffle=True, collate_fn=collate)
    val = DataLoader(Strips(images[1400:], labels[1400:], 200, g), 100, collate_fn=collate)
    model = Reader()
    ctc = nn.CTCLoss(blank=0, zero_infinity=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for x, x_len, t, t_len in train:
            loss = ctc(model(x).transpose(0, 1), t, x_len, t_len)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            total += loss.item()
        model.eval()
        right = n = 0
        with torch.no_grad():
            for x, x_len, t, t_len in val:
                paths = model(x).argmax(-1)
                for path, length, target in zip(paths, x_len, t.split(t_len.tolist())):
                    right += decode(path[:length].tolist()) == target.tolist()
                    n += 1
        print(f"epoch {epoch + 1}: ctc {total / len(train):.3f}, whole strips right {right / n:.3f}")


if __name__ == "__main__":
    main()
