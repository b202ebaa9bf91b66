"""Two towers, digits and their written-out captions, with a learned logit scale."""

import argparse
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
ADJECTIVES = ["a", "the", "one", "some", "my"]
VOCAB = {w: i + 1 for i, w in enumerate(sorted({*WORDS, *ADJECTIVES, "digit", "is", "it"}))}


class Captioned(Dataset):
    def __init__(self, images, targets):
        self.images, self.targets = images, targets

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        adjective = ADJECTIVES[int(torch.randint(len(ADJECTIVES), (1,)))]
        words = ["it", "is", adjective, "digit", WORDS[self.targets[i]]]
        return self.images[i], torch.tensor([VOCAB[w] for w in words])


class ImageTower(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.GELU(), nn.LayerNorm(128), nn.Linear(128, dim))

    def forward(self, x):
        return F.normalize(self.net(x), dim=-1)


class TextTower(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.embed = nn.Embedding(len(VOCAB) + 1, 32)
        self.rnn = nn.GRU(32, 64, batch_first=True)
        self.proj = nn.Linear(64, dim)

    def forward(self, tokens):
        _, h = self.rnn(self.embed(tokens))
        return F.normalize(self.proj(h[-1]), dim=-1)


class CLIP(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.image, self.text = ImageTower(dim), TextTower(dim)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, x, t):
        return self.logit_scale.exp().clamp(max=100) * self.image(x) @ self.text(t).t()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32) / 16
    loader = DataLoader(Captioned(images[:1500], digits.target[:1500]), batch_size=32, shuffle=True, drop_last=True)
    prompts = torch.stack([torch.tensor([VOCAB[w] for w in ["it", "is", "a", "digit", word]]) for word in WORDS])

    model = CLIP()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    for epoch in range(args.epochs):
        model.train()
        running = 0.0
        for x, t in loader:
            logits = model(x, t)
            labels = torch.arange(len(x))
            loss = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.t(), labels)) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            running += loss.item()
        model.eval()
        with torch.no_grad():
            zero_shot = model(images[1500:], prompts).argmax(1)
        acc = (zero_shot == torch.tensor(digits.target[1500:])).float().mean()
        print(f"epoch {epoch} loss {running / len(loader):.3f} zero-shot {acc:.3f}")


main()
