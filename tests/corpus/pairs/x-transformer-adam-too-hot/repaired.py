import argparse

import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset


def majority_task(n, length=15):
    """Which of three symbols is the most frequent; five other symbols are noise."""
    tokens = torch.randint(0, 8, (n, length))
    counts = torch.stack([(tokens == s).sum(dim=1) for s in range(3)], dim=1)
    top = counts.sort(dim=1, descending=True).values
    clear = top[:, 0] > top[:, 1]
    return tokens[clear], counts[clear].argmax(dim=1)


class Encoder(nn.Module):
    def __init__(self, d=32):
        super().__init__()
        self.tok = nn.Embedding(8, d)
        self.pos = nn.Parameter(0.02 * torch.randn(1, 15, d))
        layer = nn.TransformerEncoderLayer(d, nhead=4, dim_feedforward=64, dropout=0.1, batch_first=True)
        self.blocks = nn.TransformerEncoder(layer, num_layers=2)
        self.head = nn.Linear(d, 3)

    def forward(self, tokens):
        h = self.blocks(self.tok(tokens) + self.pos)
        return self.head(h.mean(dim=1))


def accuracy(model, loader):
    model.eval()
    good = total = 0
    with torch.no_grad():
        for tokens, labels in loader:
            good += (model(tokens).argmax(dim=-1) == labels).sum().item()
            total += len(labels)
    return good / total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--epochs", type=int, default=7)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    train = DataLoader(TensorDataset(*majority_task(2000)), batch_size=32, shuffle=True)
    valid = DataLoader(TensorDataset(*majority_task(600)), batch_size=256)
    model = Encoder()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=args.lr)

    for epoch in range(args.epochs):
        model.train()
        losses = []
        for tokens, labels in train:
            loss = criterion(model(tokens), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch} loss {sum(losses) / len(losses):.3f} val acc {accuracy(model, valid):.3f}")


if __name__ == "__main__":
    main()
