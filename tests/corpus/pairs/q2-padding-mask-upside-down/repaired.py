"""Support tickets of varying length: does the customer ask for a refund?  Attention pooling over tokens."""

import argparse

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

VOCAB, PAD = 60, 0
TRIGGERS = torch.tensor([7, 19, 33])


def make_tickets(n, gen):
    tickets = []
    for _ in range(n):
        length = int(torch.randint(5, 16, (1,), generator=gen))
        words = torch.randint(1, VOCAB, (length,), generator=gen)
        words[torch.isin(words, TRIGGERS)] = 1
        label = int(torch.randint(0, 2, (1,), generator=gen))
        if label:
            where = int(torch.randint(0, length, (1,), generator=gen))
            words[where] = TRIGGERS[int(torch.randint(0, 3, (1,), generator=gen))]
        tickets.append((words, label))
    return tickets


def collate(batch):
    words = [w for w, _ in batch] + [torch.zeros(16, dtype=torch.long)]
    padded = pad_sequence(words, batch_first=True, padding_value=PAD)[:-1]
    return padded, torch.tensor([float(y) for _, y in batch])


class AttentionPool(nn.Module):
    def __init__(self, dim=24, heads=2):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, dim, padding_idx=PAD)
        self.query = nn.Parameter(torch.randn(1, 1, dim) * 0.2)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.out = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 24), nn.ReLU(), nn.Linear(24, 1))

    def forward(self, tokens):
        x = self.embed(tokens)
        mask = tokens == PAD
        q = self.query.expand(len(tokens), -1, -1)
        pooled, _ = self.attention(q, x, x, key_padding_mask=mask, need_weights=False)
        return self.out(pooled.squeeze(1)).squeeze(-1)


def loop(model, loader, optimizer=None):
    criterion = nn.BCEWithLogitsLoss()
    training = optimizer is not None
    model.train(training)
    total = right = seen = 0
    with torch.set_grad_enabled(training):
        for tokens, y in loader:
            z = model(tokens)
            loss = criterion(z, y)
            if training:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            total += loss.item() * len(y)
            right += ((z > 0).float() == y).sum().item()
            seen += len(y)
    return total / seen, right / seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed + 5)
    train_loader = DataLoader(make_tickets(2400, gen), batch_size=48, shuffle=True, collate_fn=collate)
    valid_loader = DataLoader(make_tickets(400, gen), batch_size=200, collate_fn=collate)
    model = AttentionPool()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.5e-3)
    for epoch in range(1, args.epochs + 1):
        train_loss, train_acc = loop(model, train_loader, optimizer)
        valid_loss, valid_acc = loop(model, valid_loader)
        print(f"epoch {epoch:2d}  train {train_loss:.4f} ({train_acc:.1%})  valid {valid_loss:.4f} ({valid_acc:.1%})")
