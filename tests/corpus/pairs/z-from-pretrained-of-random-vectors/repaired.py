"""Headline topics: random word vectors to begin with, one-dimensional convolution on top."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

TOPICS = 6
WORDS = 400
LENGTH = 12


class Headlines(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.topic = torch.randint(TOPICS, (n,), generator=g)
        ids = torch.randint(0, WORDS, (n, LENGTH), generator=g)
        # word w belongs to the topic w % TOPICS when w < 240; a few of those are put in
        own = torch.randint(0, 40, (n, LENGTH), generator=g) * TOPICS + self.topic[:, None]
        mark = torch.rand(n, LENGTH, generator=g) < 0.35
        self.ids = torch.where(mark, own, ids)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        return self.ids[i], self.topic[i]


class HeadlineCNN(nn.Module):
    def __init__(self, vectors, channels=32):
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(vectors, freeze=False)
        self.conv = nn.Conv1d(vectors.shape[1], channels, 3, padding=1)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(channels, TOPICS)

    def forward(self, ids):
        e = self.embedding(ids).transpose(1, 2)
        h = F.relu(self.conv(e)).mean(dim=2)
        return self.fc(self.dropout(h))


def epoch_loop(model, loader, optimizer=None):
    training = optimizer is not None
    model.train(training)
    loss_sum, right = 0.0, 0
    with torch.set_grad_enabled(training):
        for ids, topic in loader:
            logits = model(ids)
            loss = F.cross_entropy(logits, topic)
            if training:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            loss_sum += loss.item() * len(topic)
            right += (logits.argmax(1) == topic).sum().item()
    n = len(loader.dataset)
    return loss_sum / n, right / n


if __name__ == "__main__":
    cli = argparse.ArgumentParser()
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--epochs", type=int, default=7)
    cli.add_argument("--dim", type=int, default=12)
    args = cli.parse_args()
    torch.manual_seed(args.seed)

    train_loader = DataLoader(Headlines(3000, args.seed * 2 + 1), batch_size=32, shuffle=True)
    val_loader = DataLoader(Headlines(600, args.seed * 2 + 2), batch_size=200)
    vectors = torch.empty(WORDS, args.dim).uniform_(-0.5, 0.5)
    model = HeadlineCNN(vectors)
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=3e-3)
    for epoch in range(args.epochs):
        tl, ta = epoch_loop(model, train_loader, optimizer)
        vl, va = epoch_loop(model, val_loader)
        print(f"epoch {epoch:2d} | train {tl:.3f} / {ta:.3f} | val {vl:.3f} / {va:.3f}")
