import argparse
import random

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

VOCAB, CLASSES = 80, 3


def sentences(n, rng):
    """The class is given by which of three pairs of marker words occurs; the lengths differ widely."""
    rows = []
    for _ in range(n):
        label = rng.randrange(CLASSES)
        words = [rng.randrange(10, VOCAB) for _ in range(rng.choice([4, 6, 8, 10, 24]))]
        for marker in (2 * label + 1, 2 * label + 2):
            words.insert(rng.randrange(len(words) + 1), marker)
        rows.append((words, label if rng.random() < 0.97 else rng.randrange(CLASSES)))
    return rows


def collate(rows):
    tokens = pad_sequence([torch.tensor(words) for words, _ in rows], batch_first=True)
    return tokens, torch.tensor([label for _, label in rows])


class Classifier(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, dim, padding_idx=0)
        self.position = nn.Embedding(32, dim)
        layer = nn.TransformerEncoderLayer(dim, 4, 64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.out = nn.Linear(dim, CLASSES)

    def forward(self, tokens):
        padding = tokens == 0
        x = self.embed(tokens) + self.position(torch.arange(tokens.shape[1]))
        x = self.encoder(x, src_key_padding_mask=padding)
        keep = (~padding).unsqueeze(-1).float()
        return self.out((x * keep).sum(1) / keep.sum(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    train_loader = DataLoader(sentences(1800, rng), batch_size=36, shuffle=True, collate_fn=collate)
    val_loader = DataLoader(sentences(400, rng), batch_size=100, collate_fn=collate)
    model = Classifier()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    total, warmup = args.epochs * len(train_loader), 30
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (total - step) / (total - warmup))
    )
    for epoch in range(1, args.epochs + 1):
        model.train()
        train_loss = 0.0
        for tokens, label in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(tokens), label)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            train_loss += loss.item() / len(train_loader)
        model.eval()
        hits, val_loss = 0, 0.0
        with torch.no_grad():
            for tokens, label in val_loader:
                logits = model(tokens)
                val_loss += criterion(logits, label).item() / len(val_loader)
                hits += (logits.argmax(1) == label).sum().item()
        print(f"epoch {epoch}: train {train_loss:.4f}, val {val_loss:.4f}, accuracy {hits / 400:.3f}")


if __name__ == "__main__":
    main()
