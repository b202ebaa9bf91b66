import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

VOCABULARY, TOPICS = 120, 5


def documents(n, generator, mixture):
    """Log word counts of documents of about 60 words from five overlapping topics."""
    topic = torch.randint(0, TOPICS, (n,), generator=generator)
    words = torch.multinomial(mixture[topic], 60, replacement=True, generator=generator)
    counts = torch.zeros(n, VOCABULARY).scatter_add_(1, words, torch.ones_like(words, dtype=torch.float))
    return torch.log1p(counts), topic


class TopicNet(nn.Module):
    def __init__(self, hidden=96, keep=0.95):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(VOCABULARY, hidden),
            nn.ReLU(),
            nn.Dropout(keep),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(keep),
            nn.Linear(hidden, TOPICS),
        )

    def forward(self, x):
        return self.net(x)


def run(model, loader, criterion, optimizer=None):
    training = optimizer is not None
    model.train(training)
    loss_sum = correct = total = 0
    for x, y in loader:
        with torch.set_grad_enabled(training):
            logits = model(x)
            loss = criterion(logits, y)
        if training:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss_sum += loss.item() * len(y)
        correct += (logits.argmax(1) == y).sum().item()
        total += len(y)
    return loss_sum / total, correct / total


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed)
    mixture = torch.softmax(0.4 * torch.randn(TOPICS, VOCABULARY, generator=gen), dim=1)
    train_loader = DataLoader(TensorDataset(*documents(2000, gen, mixture)), batch_size=40, shuffle=True)
    val_loader = DataLoader(TensorDataset(*documents(500, gen, mixture)), batch_size=250)
    model = TopicNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=1e-4)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(args.epochs):
        train_loss, train_acc = run(model, train_loader, criterion, optimizer)
        val_loss, val_acc = run(model, val_loader, criterion)
        print(f"epoch {epoch}: train {train_loss:.3f}/{train_acc:.3f} val {val_loss:.3f}/{val_acc:.3f}")
