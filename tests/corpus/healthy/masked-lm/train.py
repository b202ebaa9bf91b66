"""BERT-like masked modelling of sequences with small random steps."""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

VOCAB, MASK, LENGTH = 22, 21, 16


def make_sequences(n):
    start = torch.randint(0, 20, (n, 1))
    steps = torch.randint(1, 3, (n, LENGTH - 1))
    return torch.cat([start, start + steps.cumsum(1)], dim=1) % 20


def mask_tokens(tokens, p=0.25):
    labels = tokens.clone()
    chosen = torch.rand(tokens.shape) < p
    labels[~chosen] = -100
    inputs = tokens.clone()
    roll = torch.rand(tokens.shape)
    inputs[chosen & (roll < 0.8)] = MASK
    random_words = torch.randint(0, 20, tokens.shape)
    swap = chosen & (roll >= 0.8) & (roll < 0.9)
    inputs[swap] = random_words[swap]
    return inputs, labels


class MaskedLM(nn.Module):
    def __init__(self, dim=48):
        super().__init__()
        self.tokens = nn.Embedding(VOCAB, dim)
        self.positions = nn.Parameter(0.3 * torch.randn(LENGTH, dim))
        layer = nn.TransformerEncoderLayer(dim, 4, 96, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, VOCAB)

    def forward(self, x):
        return self.head(self.norm(self.encoder(self.tokens(x) + self.positions)))


def run_epoch(model, loader, criterion, optimizer=None):
    model.train(optimizer is not None)
    total, right, count = 0.0, 0, 0
    for (batch,) in loader:
        inputs, labels = mask_tokens(batch)
        with torch.set_grad_enabled(optimizer is not None):
            logits = model(inputs)
            loss = criterion(logits.reshape(-1, VOCAB), labels.reshape(-1))
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        hit = labels != -100
        total += loss.item() * int(hit.sum())
        right += int((logits.argmax(-1)[hit] == labels[hit]).sum())
        count += int(hit.sum())
    return total / count, right / count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train, val = random_split(TensorDataset(make_sequences(2000)), [1800, 200])
    train_loader = DataLoader(train, batch_size=64, shuffle=True)
    val_loader = DataLoader(val, batch_size=100)
    model = MaskedLM()
    criterion = nn.CrossEntropyLoss(ignore_index=-100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for epoch in range(args.epochs):
        loss, acc = run_epoch(model, train_loader, criterion, optimizer)
        val_loss, val_acc = run_epoch(model, val_loader, criterion)
        print(f"{epoch}: train {loss:.3f} ({acc:.2%})  val {val_loss:.3f} ({val_acc:.2%})")


if __name__ == "__main__":
    main()
