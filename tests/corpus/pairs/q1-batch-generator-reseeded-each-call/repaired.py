import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=900)
parser.add_argument("--batch-size", type=int, default=48)
args = parser.parse_args()
torch.manual_seed(args.seed)

images, labels = load_digits(return_X_y=True)
shuffle = np.random.default_rng(args.seed).permutation(len(labels))
images = torch.tensor(images[shuffle] / 16.0 - 0.3, dtype=torch.float32)
labels = torch.tensor(labels[shuffle])
train_images, train_labels = images[:1450], labels[:1450]
test_images, test_labels = images[1450:], labels[1450:]

rng = np.random.default_rng(args.seed + 1)


def get_batch(batch_size):
    idx = rng.choice(len(train_images), batch_size, replace=False)
    return train_images[idx], train_labels[idx]


class MaxoutNet(nn.Module):
    def __init__(self, units=40, pieces=3):
        super().__init__()
        self.shape = (units, pieces)
        self.hidden = nn.Linear(64, units * pieces)
        self.norm = nn.LayerNorm(units)
        self.out = nn.Linear(units, 10)

    def forward(self, x):
        h = self.hidden(x).view(-1, *self.shape).amax(-1)
        return self.out(self.norm(h))


model = MaxoutNet()
optimizer = torch.optim.NAdam(model.parameters(), lr=1e-3)

average = None
for step in range(1, args.steps + 1):
    x, y = get_batch(args.batch_size)
    loss = F.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    average = loss.item() if average is None else 0.95 * average + 0.05 * loss.item()

    if step % 100 == 0:
        model.eval()
        with torch.no_grad():
            out = model(test_images)
            test_loss = F.cross_entropy(out, test_labels).item()
            correct = (out.argmax(1) == test_labels).sum().item()
        model.train()
        print(
            f"step {step:5d} | loss {average:.4f} | test loss {test_loss:.4f} | test accuracy {correct / len(test_labels):.3f}"
        )
