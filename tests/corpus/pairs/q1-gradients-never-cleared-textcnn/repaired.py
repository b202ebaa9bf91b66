import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

TOPICS = {
    0: ["goal", "match", "coach", "league", "striker", "keeper", "stadium"],
    1: ["market", "shares", "bank", "profit", "trader", "bond", "inflation"],
    2: ["cell", "gene", "protein", "virus", "enzyme", "tissue", "dna"],
    3: ["senate", "vote", "minister", "law", "party", "treaty", "reform"],
}
COMMON = ["today", "new", "after", "with", "over", "said", "from", "big", "small", "says", "week", "year"]


def build_corpus(n, gen):
    def pick(words):
        return words[torch.randint(len(words), (1,), generator=gen).item()]

    corpus = []
    for _ in range(n):
        label = torch.randint(4, (1,), generator=gen).item()
        length = torch.randint(7, 16, (1,), generator=gen).item()
        words = []
        for _ in range(length):
            r = torch.rand(1, generator=gen).item()
            if r < 0.30:
                words.append(pick(TOPICS[label]))
            elif r < 0.40:
                words.append(pick(TOPICS[torch.randint(4, (1,), generator=gen).item()]))
            else:
                words.append(pick(COMMON))
        corpus.append((words, label))
    return corpus


class TextCNN(nn.Module):
    def __init__(self, vocab_size, emb_dim=24, n_filters=16, n_classes=4):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, emb_dim, padding_idx=0)
        self.convs = nn.ModuleList([nn.Conv1d(emb_dim, n_filters, k, padding=k // 2) for k in (1, 3)])
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(2 * n_filters, n_classes)

    def forward(self, tokens):
        e = self.embedding(tokens).transpose(1, 2)
        pooled = [F.relu(conv(e)).max(dim=2).values for conv in self.convs]
        return self.fc(self.dropout(torch.cat(pooled, dim=1)))


def accuracy(model, loader):
    model.eval()
    correct = count = 0
    with torch.no_grad():
        for tokens, labels in loader:
            correct += (model(tokens).argmax(1) == labels).sum().item()
            count += labels.numel()
    return correct / count


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=9)
    ap.add_argument("--lr", type=float, default=0.02)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    corpus = build_corpus(2000, torch.Generator().manual_seed(args.seed + 7))
    words = COMMON + sum(TOPICS.values(), [])
    stoi = {w: i + 1 for i, w in enumerate(words)}

    def collate(batch):
        ids = [torch.tensor([stoi[w] for w in ws]) for ws, _ in batch]
        return pad_sequence(ids, batch_first=True), torch.tensor([y for _, y in batch])

    train_loader = DataLoader(corpus[:1600], batch_size=32, shuffle=True, collate_fn=collate)
    valid_loader = DataLoader(corpus[1600:], batch_size=100, collate_fn=collate)

    model = TextCNN(len(stoi) + 1)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)

    for epoch in range(args.epochs):
        model.train()
        losses = []
        for tokens, labels in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(tokens), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch}  loss {sum(losses) / len(losses):.3f}  valid acc {accuracy(model, valid_loader):.3f}")


if __name__ == "__main__":
    main()
