import argparse

import torch
import torch.nn as nn
from sklearn.datasets import make_circles
from torch.utils.data import DataLoader, TensorDataset, random_split


class RingNet(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.fc1 = nn.Linear(2, width)
        self.fc2 = nn.Linear(width, width)
        self.fc3 = nn.Linear(width, 1)
        self.act = nn.ReLU()

    def forward(self, x):
        x = self.act(self.fc1(x))
        x = self.act(self.fc2(x))
        return self.fc3(x)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--lr", type=float, default=5e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

points, ring = make_circles(n_samples=1500, noise=0.08, factor=0.5, random_state=args.seed)
points = torch.tensor(points / points.std(), dtype=torch.float32)
ring = torch.tensor(ring, dtype=torch.float32).unsqueeze(1)
train_set, test_set = random_split(TensorDataset(points, ring), [1200, 300])
train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
test_loader = DataLoader(test_set, batch_size=300)

net = RingNet()
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(net.parameters(), lr=args.lr)

best = 0.0
for epoch in range(args.epochs):
    net.train()
    loss_sum = 0.0
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * x.size(0)

    net.eval()
    with torch.no_grad():
        for x, y in test_loader:
            logits = net(x)
            test_loss = criterion(logits, y).item()
            test_acc = ((logits > 0).float() == y).float().mean().item()
    best = max(best, test_acc)
    print(f"epoch {epoch + 1:3d}  loss {loss_sum / 1200:.4f}  test loss {test_loss:.4f}  test acc {test_acc:.3f}")

print(f"best test accuracy {best:.3f}")
