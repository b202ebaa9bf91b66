import argparse

import torch
from torch import nn


class NoamOpt:
    """Adam with the schedule of 'Attention is all you need'."""

    def __init__(self, params, d_model, warmup, factor=1.0):
        self.opt = torch.optim.Adam(params, lr=0.0, betas=(0.9, 0.98), eps=1e-9)
        self.d_model, self.warmup, self.factor = d_model, warmup, factor
        self.n = 0

    def rate(self):
        return self.factor * self.d_model**-0.5 * min(self.n**-0.5, self.n * self.warmup**-1.5)

    def step(self):
        self.n += 1
        for g in self.opt.param_groups:
            g["lr"] = self.rate()
        self.opt.step()

    def zero_grad(self):
        self.opt.zero_grad()


class SpeciesNet(nn.Module):
    def __init__(self, vocab, d_model, length, n_classes):
        super().__init__()
        self.tok = nn.Embedding(vocab, d_model)
        self.pos = nn.Parameter(0.02 * torch.randn(length, d_model))
        layer = nn.TransformerEncoderLayer(d_model, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.enc = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Sequential(nn.LayerNorm(d_model), nn.Linear(d_model, n_classes))

    def forward(self, x):
        return self.out(self.enc(self.tok(x) + self.pos).mean(1))


def sightings(n, length, vocab, n_species, gen):
    """Every species has three spellings; the label is the species seen most."""
    x = torch.randint(0, vocab, (n, length), generator=gen)
    y = torch.randint(0, n_species, (n,), generator=gen)
    planted = torch.rand(n, length, generator=gen) < 0.3
    spelling = y[:, None] + n_species * torch.randint(0, 3, (n, length), generator=gen)
    x = torch.where(planted, spelling, x)
    counts = torch.stack([((x % n_species == k) & (x < 3 * n_species)).sum(1) for k in range(n_species)], 1)
    return x, counts.argmax(1)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--steps", type=int, default=400)
    ap.add_argument("--d-model", type=int, default=32)
    ap.add_argument("--warmup", type=int, default=100)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    vocab, length, species = 24, 16, 4
    gen = torch.Generator().manual_seed(args.seed + 1)
    x_val, y_val = sightings(500, length, vocab, species, gen)
    model = SpeciesNet(vocab, args.d_model, length, species)
    opt = NoamOpt(model.parameters(), args.d_model, args.warmup, factor=0.3)
    ce = nn.CrossEntropyLoss()
    running = 0.0
    for step in range(1, args.steps + 1):
        model.train()
        x, y = sightings(64, length, vocab, species, gen)
        loss = ce(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        running += loss.item()
        if step % 40 == 0:
            model.eval()
            with torch.no_grad():
                out = model(x_val)
                vl = ce(out, y_val).item()
                acc = (out.argmax(-1) == y_val).float().mean().item()
            print(f"step {step:4d} lr {opt.rate():.2e} train {running / 40:.3f} val {vl:.3f} acc {acc:.3f}")
            running = 0.0


if __name__ == "__main__":
    main()
