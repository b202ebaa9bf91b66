"""Topic classification of short generated 'news' lines with an EmbeddingBag."""

import argparse
import random

import torch
from torch import nn
from torch.utils.data import DataLoader

TOPICS = {
    "sport": "match goal team coach league score player cup season win stadium referee".split(),
    "money": "bank market shares profit rate bond trader loan price fund tax growth".split(),
    "science": "study cell planet laser virus theory lab orbit atom species climate data".split(),
    "travel": "hotel beach flight island tour museum train visa guide luggage coast inn".split(),
}
FILLER = (
    "the a of in on after before new old said today will more first last week people "
    "about two three city report year over under big small team market study train"
).split()


def make_lines(n, rng):
    names = list(TOPICS)
    lines = []
    for _ in range(n):
        k = rng.randrange(len(names))
        length = rng.randint(6, 14)
        words = [rng.choice(TOPICS[names[k]]) if rng.random() < 0.3 else rng.choice(FILLER) for _ in range(length)]
        words[rng.randrange(length)] = rng.choice(TOPICS[names[k]])
        lines.append((k, " ".join(words)))
    return lines


class TextClassifier(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_class):
        super().__init__()
        self.embedding = nn.EmbeddingBag(vocab_size, embed_dim)
        self.fc = nn.Linear(embed_dim, num_class)
        self.embedding.weight.data.uniform_(-0.5, 0.5)
        self.fc.bias.data.zero_()

    def forward(self, text, offsets):
        return self.fc(self.embedding(text, offsets))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=2.0)
    parser.add_argument("--batch-size", type=int, default=32)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)

    train_lines, valid_lines = make_lines(2500, rng), make_lines(500, rng)
    vocab = {"<unk>": 0}
    for _, line in train_lines:
        for w in line.split():
            vocab.setdefault(w, len(vocab))

    def collate_batch(batch):
        labels, texts, offsets = [], [], [0]
        for label, line in batch:
            labels.append(label)
            ids = [vocab.get(w, 0) for w in line.split()]
            texts.extend(ids)
            offsets.append(len(ids))
        offsets = torch.tensor(offsets[:-1]).cumsum(0)
        return torch.tensor(labels), torch.tensor(texts), offsets

    train_dl = DataLoader(train_lines, batch_size=args.batch_size, shuffle=True, collate_fn=collate_batch)
    valid_dl = DataLoader(valid_lines, batch_size=args.batch_size, collate_fn=collate_batch)

    model = TextClassifier(len(vocab), 24, len(TOPICS))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.5)

    for epoch in range(1, args.epochs + 1):
        model.train()
        total_loss, total_acc, count = 0.0, 0, 0
        for label, text, offsets in train_dl:
            optimizer.zero_grad()
            logits = model(text, offsets)
            loss = criterion(logits, label)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            total_loss += loss.item() * len(label)
            total_acc += (logits.argmax(1) == label).sum().item()
            count += len(label)
        scheduler.step()
        model.eval()
        hits = 0
        with torch.no_grad():
            for label, text, offsets in valid_dl:
                hits += (model(text, offsets).argmax(1) == label).sum().item()
        print(
            f"| epoch {epoch:3d} | loss {total_loss / count:.3f} | accuracy {total_acc / count:.3f} "
            f"| valid accuracy {hits / len(valid_lines):.3f}"
        )


if __name__ == "__main__":
    main()
