import argparse
import random
from collections import Counter

import torch
from torch import nn
from torch.utils.data import DataLoader

TOPICS = {
    "billing": "invoice refund charge card payment price receipt subscription fee bank".split(),
    "network": "router wifi signal cable slow disconnect latency modem outage speed".split(),
    "account": "password login email username locked reset profile verify code access".split(),
    "delivery": "parcel courier late address tracking box damaged shipping order warehouse".split(),
}
FILLER = (
    "the a my i is was please help today again still not cannot with from and it this "
    "since after have been you can why how would like yesterday"
).split()


def write_ticket(rng):
    topic = rng.choice(list(TOPICS))
    words = [rng.choice(FILLER) for _ in range(rng.randint(6, 16))]
    words += [rng.choice(TOPICS[topic]) for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.4:
        words.append(rng.choice(TOPICS[rng.choice(list(TOPICS))]))
    rng.shuffle(words)
    return " ".join(words), list(TOPICS).index(topic)


def build_vocab(tickets):
    counts = Counter(w for text, _ in tickets for w in text.split())
    return {w: i + 1 for i, (w, c) in enumerate(counts.most_common())}


class TicketModel(nn.Module):
    def __init__(self, vocab_size, dim=32, classes=4):
        super().__init__()
        self.bag = nn.EmbeddingBag(vocab_size + 1, dim, mode="mean")
        self.hidden = nn.Linear(dim, 32)
        self.fc = nn.Linear(32, classes)

    def forward(self, tokens, offsets):
        return self.fc(torch.relu(self.hidden(self.bag(tokens, offsets))))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=0.1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)

    tickets = [write_ticket(rng) for _ in range(3000)]
    train_set, val_set = tickets[:2400], tickets[2400:]
    vocab = build_vocab(train_set)

    def collate(batch):
        ids = [[vocab.get(w, 0) for w in text.split()] for text, _ in batch]
        offsets = torch.tensor([0] + [len(s) for s in ids[:-1]]).cumsum(0)
        return torch.tensor(sum(ids, [])), offsets, torch.tensor([label for _, label in batch])

    train_loader = DataLoader(train_set, batch_size=32, shuffle=True, collate_fn=collate)
    val_loader = DataLoader(val_set, batch_size=300, collate_fn=collate)

    model = TicketModel(len(vocab))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)

    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for tokens, offsets, labels in train_loader:
            logits = model(tokens, offsets)
            loss = criterion(logits, labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        good, vloss = 0, 0.0
        with torch.no_grad():
            for tokens, offsets, labels in val_loader:
                logits = model(tokens, offsets)
                vloss += criterion(logits, labels).item() * len(labels)
                good += (logits.argmax(1) == labels).sum().item()
        print(
            f"epoch {epoch + 1:2d} | train loss {total / len(train_loader):8.4f} | "
            f"val loss {vloss / len(val_set):8.4f} | val acc {good / len(val_set):.3f}"
        )


if __name__ == "__main__":
    main()
