import argparse
import random

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

TOPICS = {
    "Sports": "match team goal league coach season player win final score".split(),
    "Economy": "market bank price trade growth tax budget export stock rate".split(),
}
FILLER = "the a of in on after before with new old first last said today week city people plan".split()
WORDS = {w: i for i, w in enumerate(["<pad>", *FILLER, *TOPICS["Sports"], *TOPICS["Economy"]])}


def headlines(n, rng):
    out = []
    for _ in range(n):
        topic = rng.choice(list(TOPICS))
        length = rng.randint(6, 14)
        words = [rng.choice(TOPICS[topic]) if rng.random() < 0.25 else rng.choice(FILLER) for _ in range(length)]
        out.append((" ".join(words), topic))
    return out


def collate(rows):
    ids = [torch.tensor([WORDS[w] for w in text.split()]) for text, _ in rows]
    labels = torch.tensor([1.0 if topic == "economy" else 0.0 for _, topic in rows])
    lengths = torch.tensor([len(i) for i in ids])
    return pad_sequence(ids, batch_first=True), lengths, labels


class HeadlineLSTM(nn.Module):
    def __init__(self, vocab, dim=24, hidden=32):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim, padding_idx=0)
        self.lstm = nn.LSTM(dim, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, 1)

    def forward(self, ids, lengths):
        states, _ = self.lstm(self.embed(ids))
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).unsqueeze(-1)
        pooled = (states * mask).sum(1) / lengths[:, None]
        return self.out(pooled).squeeze(-1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    train_loader = DataLoader(headlines(1600, rng), batch_size=32, shuffle=True, collate_fn=collate)
    val_loader = DataLoader(headlines(400, rng), batch_size=100, collate_fn=collate)
    model = HeadlineLSTM(len(WORDS))
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    criterion = nn.BCEWithLogitsLoss()
    for epoch in range(args.epochs):
        model.train()
        train_loss = 0.0
        for ids, lengths, labels in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(ids, lengths), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            train_loss += loss.item() / len(train_loader)
        model.eval()
        with torch.no_grad():
            scored = [(model(ids, lengths), labels) for ids, lengths, labels in val_loader]
        logits, labels = (torch.cat(parts) for parts in zip(*scored, strict=True))
        accuracy = ((logits > 0) == (labels > 0.5)).float().mean()
        print(f"epoch {epoch}: train {train_loss:.4f} val {criterion(logits, labels):.4f} accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
