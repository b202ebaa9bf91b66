import argparse

import torch
from sklearn.datasets import make_classification
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.optim.swa_utils import SWALR, AveragedModel, update_bn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self, d, k):
        super().__init__()
        self.fc1 = nn.Linear(d, 64)
        self.bn1 = nn.BatchNorm1d(64)
        self.fc2 = nn.Linear(64, 64)
        self.bn2 = nn.BatchNorm1d(64)
        self.fc3 = nn.Linear(64, k)

    def forward(self, x):
        x = torch.relu(self.bn1(self.fc1(x)))
        x = torch.relu(self.bn2(self.fc2(x)))
        return self.fc3(x)


@torch.no_grad()
def score(model, loader, loss_fn):
    model.eval()
    loss, right, n = 0.0, 0, 0
    for x, y in loader:
        out = model(x)
        loss += loss_fn(out, y).item() * len(y)
        right += (out.argmax(1) == y).sum().item()
        n += len(y)
    return loss / n, right / n


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=16)
parser.add_argument("--swa-start", type=int, default=10)
parser.add_argument("--lr", type=float, default=0.05)
parser.add_argument("--swa-lr", type=float, default=0.02)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = make_classification(
    n_samples=4000,
    n_features=20,
    n_informative=12,
    n_redundant=4,
    n_classes=4,
    n_clusters_per_class=1,
    class_sep=1.5,
    flip_y=0.02,
    random_state=args.seed,
)
sc = StandardScaler().fit(X[:3200])
X = torch.tensor(sc.transform(X), dtype=torch.float32)
y = torch.tensor(y)
train_loader = DataLoader(TensorDataset(X[:3200], y[:3200]), batch_size=64, shuffle=True)
val_loader = DataLoader(TensorDataset(X[3200:], y[3200:]), batch_size=256)

model = Net(20, 4)
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-3)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.swa_start, eta_min=0.005)
swa_model = AveragedModel(model)
swa_scheduler = SWALR(optimizer, swa_lr=args.swa_lr, anneal_epochs=2)

for epoch in range(args.epochs):
    model.train()
    total = 0.0
    for x, t in train_loader:
        optimizer.zero_grad()
        loss = loss_fn(model(x), t)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(t)
    if epoch >= args.swa_start:
        swa_model.update_parameters(model)
        swa_scheduler.step()
    else:
        scheduler.step()
    vl, va = score(model, val_loader, loss_fn)
    print(f"{epoch:2d} train {total / 3200:.4f} val {vl:.4f} acc {va:.4f} lr {optimizer.param_groups[0]['lr']:.4f}")

update_bn(train_loader, swa_model)
vl, va = score(swa_model, val_loader, loss_fn)
print(f"averaged model: val {vl:.4f} acc {va:.4f}")
