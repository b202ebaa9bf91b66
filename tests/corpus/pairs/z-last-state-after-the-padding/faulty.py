"""Does the session end in a purchase?  GRU over click sequences of different length."""

import argparse

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

PAGES = 20  # 0 is kept for padding
MAX_LEN = 60


def sessions(n, gen):
    out = []
    for _ in range(n):
        length = int(torch.randint(5, 26, (1,), generator=gen))
        pages = torch.randint(1, PAGES, (length,), generator=gen)
        # buyers look at a page of the basket group (1-4) more recently than at one of the help group (5-8)
        basket = [i for i, p in enumerate(pages.tolist()) if p <= 4]
        helped = [i for i, p in enumerate(pages.tolist()) if 5 <= p <= 8]
        label = float((basket[-1] if basket else -1) > (helped[-1] if helped else -1))
        out.append((pages, label))
    return out


def collate(batch):
    pages, labels = zip(*batch)
    lengths = torch.tensor([len(p) for p in pages])
    padded = pad_sequence(pages, batch_first=True)
    padded = nn.functional.pad(padded, (0, MAX_LEN - padded.shape[1]))
    return padded, lengths, torch.tensor(labels)


class SessionModel(nn.Module):
    def __init__(self, dim=12, hidden=24):
        super().__init__()
        self.embed = nn.Embedding(PAGES, dim, padding_idx=0)
        self.gru = nn.GRU(dim, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, 1)

    def forward(self, pages, lengths):
        states, _ = self.gru(self.embed(pages))
        return self.fc(states[:, -1]).squeeze(1)


def main(seed, epochs, lr):
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    train = DataLoader(sessions(1400, gen), batch_size=32, shuffle=True, collate_fn=collate)
    valid = DataLoader(sessions(400, gen), batch_size=200, collate_fn=collate)
    model = SessionModel()
    bce = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for epoch in range(1, epochs + 1):
        model.train()
        total = 0.0
        for pages, lengths, y in train:
            loss = bce(model(pages, lengths), y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item() * len(y)
        model.eval()
        v_loss, v_hits = 0.0, 0
        with torch.no_grad():
            for pages, lengths, y in valid:
                z = model(pages, lengths)
                v_loss += bce(z, y).item() * len(y)
                v_hits += ((z > 0) == (y > 0.5)).sum().item()
        print(f"epoch {epoch}  train {total / 1400:.4f}  valid {v_loss / 400:.4f}  acc {v_hits / 400:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=8e-3)
    main(**vars(parser.parse_args()))
