import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

VOCAB = 16


def markov_chain(generator):
    """A sparse transition matrix: each token is followed by one of about three others."""
    logits = torch.randn(VOCAB, VOCAB, generator=generator) * 2.5
    return torch.softmax(logits, dim=1)


def generate(n, length, transitions, generator):
    tokens = torch.randint(0, VOCAB, (n, 1), generator=generator)
    for _ in range(length):
        step = torch.multinomial(transitions[tokens[:, -1]], 1, generator=generator)
        tokens = torch.cat([tokens, step], dim=1)
    return TensorDataset(tokens[:, :-1], tokens[:, 1:])


class TinyTransformer(nn.Module):
    def __init__(self, dim=32, heads=4, layers=2, max_length=12):
        super().__init__()
        self.token = nn.Embedding(VOCAB, dim)
        self.position = nn.Parameter(torch.randn(max_length, dim) * 0.3)
        layer = nn.TransformerEncoderLayer(dim, heads, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, VOCAB)

    def forward(self, tokens):
        length = tokens.shape[1]
        x = self.token(tokens) + self.position[:length]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        x = self.blocks(x, mask=mask, is_causal=True)
        return self.head(self.norm(x))


def loss_of(model, x, y):
    return nn.functional.cross_entropy(model(x).reshape(-1, VOCAB), y.reshape(-1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    transitions = markov_chain(generator)
    train_loader = DataLoader(generate(2400, 12, transitions, generator), batch_size=30, shuffle=True)
    val_loader = DataLoader(generate(600, 12, transitions, generator), batch_size=100)
    model = TinyTransformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.95), weight_decay=0.1)
    total_steps = args.epochs * len(train_loader)
    warmup = 20

    def schedule(step):
        if step < warmup:
            return (step + 1) / warmup
        return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - warmup) / (total_steps - warmup)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    for epoch in range(1, args.epochs + 1):
        model.train()
        train_loss = 0.0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = loss_of(model, x, y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            train_loss += loss.item() / len(train_loader)
        model.eval()
        with torch.no_grad():
            val_loss = sum(loss_of(model, x, y).item() for x, y in val_loader) / len(val_loader)
        print(f"epoch {epoch}: train {train_loss:.4f}, val {val_loss:.4f}, perplexity {math.exp(val_loss):.2f}")


if __name__ == "__main__":
    main()
