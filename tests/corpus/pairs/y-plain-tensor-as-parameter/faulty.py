"""Which of two words comes first? A tiny transformer with a learned class token and learned places."""

import argparse

import torch
from torch import nn

LENGTH, WORDS, A, B = 12, 20, 0, 1


def sentences(n):
    tokens = torch.randint(2, WORDS, (n, LENGTH))
    order = torch.rand(n, LENGTH).argsort(1)[:, :2].sort(1).values
    first = torch.randint(2, (n,))
    rows = torch.arange(n)
    tokens[rows, order[:, 0]] = torch.where(first == 0, A, B)
    tokens[rows, order[:, 1]] = torch.where(first == 0, B, A)
    return tokens, first


class OrderNet(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.words = nn.Embedding(WORDS, dim)
        self.places = (0.5 * torch.randn(1, LENGTH + 1, dim)).requires_grad_()
        self.cls = (0.5 * torch.randn(1, 1, dim)).requires_grad_()
        layer = nn.TransformerEncoderLayer(dim, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(dim, 2)

    def forward(self, tokens):
        x = self.words(tokens)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1) + self.places
        return self.head(self.encoder(x)[:, 0])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--steps", type=int, default=160)
    p.add_argument("--lr", type=float, default=2e-3)
    a = p.parse_args()
    torch.manual_seed(a.seed)
    model = OrderNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=a.lr)
    warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min(1.0, (i + 1) / 50))
    test_tokens, test_first = sentences(1000)
    ema = None
    for step in range(1, a.steps + 1):
        model.train()
        tokens, first = sentences(64)
        loss = nn.functional.cross_entropy(model(tokens), first)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        warmup.step()
        ema = loss.item() if ema is None else 0.95 * ema + 0.05 * loss.item()
        if step % 20 == 0:
            model.eval()
            with torch.no_grad():
                acc = (model(test_tokens).argmax(1) == test_first).float().mean().item()
            print(f"step {step:4d} | loss {ema:.4f} | test acc {acc:.3f}")


if __name__ == "__main__":
    main()
