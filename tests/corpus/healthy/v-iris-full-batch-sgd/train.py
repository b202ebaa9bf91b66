import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_iris

p = argparse.ArgumentParser()
p.add_argument("--seed", type=int, default=0)
p.add_argument("--hidden", type=int, default=16)
p.add_argument("--steps", type=int, default=600)
p.add_argument("--lr", type=float, default=0.1)
args = p.parse_args()
torch.manual_seed(args.seed)

iris = load_iris()
x = torch.tensor(iris.data, dtype=torch.float)
y = torch.tensor(iris.target, dtype=torch.long)
perm = torch.randperm(150)
x, y = x[perm], y[perm]
n = 110
mean, std = x[:n].mean(0), x[:n].std(0)
x = (x - mean) / std
x_train, y_train, x_val, y_val = x[:n], y[:n], x[n:], y[n:]


class IrisNet(torch.nn.Module):
    def __init__(self, n_hidden):
        super(IrisNet, self).__init__()
        self.hidden = torch.nn.Linear(4, n_hidden)
        self.predict = torch.nn.Linear(n_hidden, 3)

    def forward(self, x):
        return self.predict(F.relu(self.hidden(x)))


net = IrisNet(args.hidden)
print(net)
optimizer = torch.optim.SGD(net.parameters(), lr=args.lr)
loss_func = torch.nn.CrossEntropyLoss()

for t in range(1, args.steps + 1):
    out = net(x_train)
    loss = loss_func(out, y_train)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

    if t % 50 == 0:
        with torch.no_grad():
            val_out = net(x_val)
            val_loss = loss_func(val_out, y_val)
            acc = (out.argmax(1) == y_train).float().mean()
            val_acc = (val_out.argmax(1) == y_val).float().mean()
        print(
            "step %4d | loss %.4f | acc %.3f | val loss %.4f | val acc %.3f"
            % (t, loss.item(), acc, val_loss.item(), val_acc)
        )
