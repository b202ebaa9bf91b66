import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class OwnCrossEntropy(nn.Module):
    def __init__(self, smoothing=0.0):
        super().__init__()
        self.smoothing = smoothing

    def forward(self, logits, targets):
        log_prob = logits.log_softmax(dim=-1)
        picked = log_prob.gather(1, targets.unsqueeze(1)).squeeze(1)
        value = (1 - self.smoothing) * picked + self.smoothing * log_prob.mean(dim=-1)
        return value.mean()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--lr", type=float, default=0.1)
args = parser.parse_args()
torch.manual_seed(args.seed)

data, target = load_digits(return_X_y=True)
data = torch.tensor(data / 16.0 - 0.3, dtype=torch.float32)
dataset = TensorDataset(data, torch.tensor(target))
train_set, test_set = random_split(dataset, [0.8, 0.2])
train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
test_loader = DataLoader(test_set, batch_size=256)

model = nn.Sequential(nn.Linear(64, 80), nn.ReLU(), nn.Linear(80, 10))
criterion = OwnCrossEntropy()
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.5)

epoch = 0
while epoch < args.epochs:
    model.train()
    loss_sum = 0.0
    for x, t in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(x), t)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item()
    model.eval()
    with torch.no_grad():
        hits = sum((model(x).argmax(-1) == t).sum().item() for x, t in test_loader)
    epoch += 1
    print(f"epoch {epoch}: loss {loss_sum / len(train_loader):.4f}, accuracy {hits / len(test_set):.3f}")
