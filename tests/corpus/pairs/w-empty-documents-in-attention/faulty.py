import argparse

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

VOCAB, TOPICS, PAD = 200, 5, 0


def make_corpus(n, rng):
    """Documents of topical and common words; tokens 1 to 5 are stop words."""
    favourites = np.random.default_rng(7).integers(20, VOCAB, (TOPICS, 25))
    docs = []
    for _ in range(n):
        topic = int(rng.integers(TOPICS))
        length = int(rng.poisson(5)) + 1
        kind = rng.random(length)
        words = [
            int(rng.integers(1, 6))
            if k < 0.3
            else int(rng.choice(favourites[topic]))
            if k < 0.75
            else int(rng.integers(6, 60))
            for k in kind
        ]
        docs.append((words, topic))
    return docs


def preprocess(docs):
    stop = {1, 2, 3, 4, 5}
    cleaned = [([w for w in words if w not in stop], topic) for words, topic in docs]
    return cleaned


def collate(batch):
    seqs = [torch.tensor(words, dtype=torch.long) for words, _ in batch]
    return pad_sequence(seqs, batch_first=True, padding_value=PAD), torch.tensor([t for _, t in batch])


class TopicModel(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.emb = nn.Embedding(VOCAB, dim, padding_idx=PAD)
        self.attn = nn.MultiheadAttention(dim, 4, batch_first=True)
        self.norm = nn.LayerNorm(dim)
        self.ff = nn.Sequential(nn.Linear(dim, 64), nn.GELU(), nn.Dropout(0.2), nn.Linear(64, TOPICS))

    def forward(self, tokens):
        pad = tokens == PAD
        x = self.emb(tokens)
        a, _ = self.attn(x, x, x, key_padding_mask=pad)
        x = self.norm(x + a)
        keep = (~pad).unsqueeze(-1).float()
        pooled = (x * keep).sum(1) / keep.sum(1).clamp(min=1)
        return self.ff(pooled)


def evaluate(model, loader):
    model.eval()
    good = n = 0
    with torch.no_grad():
        for tokens, topic in loader:
            good += (model(tokens).argmax(-1) == topic).sum().item()
            n += len(topic)
    return good / n


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=7)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    train = preprocess(make_corpus(2000, rng))
    val = preprocess(make_corpus(400, rng))
    train_loader = DataLoader(train, batch_size=32, shuffle=True, collate_fn=collate)
    val_loader = DataLoader(val, batch_size=100, collate_fn=collate)
    model = TopicModel()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(args.epochs):
        model.train()
        history = []
        for tokens, topic in train_loader:
            loss = loss_fn(model(tokens), topic)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.append(loss.item())
        print(
            f"epoch {epoch + 1}: loss {sum(history) / len(history):.4f}, val accuracy {evaluate(model, val_loader):.3f}"
        )
