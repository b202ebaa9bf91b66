"""Distils a wide teacher into a small student on digits."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--temperature", type=float, default=3.0)
parser.add_argument("--alpha", type=float, default=0.7)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = load_digits(return_X_y=True)
X = torch.tensor(StandardScaler().fit(X[:1300]).transform(X), dtype=torch.float32)
y = torch.tensor(y)
train_loader = DataLoader(TensorDataset(X[:1300], y[:1300]), batch_size=64, shuffle=True)
test_loader = DataLoader(TensorDataset(X[1300:], y[1300:]), batch_size=256)

teacher = nn.Sequential(
    nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 10)
)
student = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))


def accuracy(net):
    net.eval()
    with torch.no_grad():
        hits = sum((net(x).argmax(1) == t).sum().item() for x, t in test_loader)
    return hits / len(test_loader.dataset)


opt = torch.optim.Adam(teacher.parameters(), lr=1e-3)
for epoch in range(6):
    teacher.train()
    for x, t in train_loader:
        opt.zero_grad()
        F.cross_entropy(teacher(x), t).backward()
        opt.step()
print(f"teacher accuracy {accuracy(teacher):.4f}")

teacher.eval()
for p in teacher.parameters():
    p.requires_grad = False

T = args.temperature
opt = torch.optim.Adam(student.parameters(), lr=5e-3)
for epoch in range(10):
    student.train()
    total = 0.0
    for x, t in train_loader:
        with torch.no_grad():
            soft = F.softmax(teacher(x) / T, dim=1)
        logits = student(x)
        kd = F.kl_div(F.log_softmax(logits / T, dim=1), soft, reduction="batchmean") * T * T
        loss = args.alpha * kd + (1 - args.alpha) * F.cross_entropy(logits, t)
        opt.zero_grad()
        loss.backward()
        opt.step()
        total += loss.item()
    print(f"epoch {epoch}: distillation loss {total / len(train_loader):.4f}  student accuracy {accuracy(student):.4f}")
