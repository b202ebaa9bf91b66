import argparse

import torch
import torch.nn as nn
from sklearn.datasets import make_moons

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=30)
parser.add_argument("--batch_size", type=int, default=25)
opt = parser.parse_args()
torch.manual_seed(opt.seed)

X, Y = make_moons(n_samples=1000, noise=0.15, random_state=opt.seed)
X = torch.FloatTensor(X)
Y = torch.FloatTensor(Y).view(-1, 1)
X = (X - X[:800].mean(0)) / X[:800].std(0)
X_train, Y_train = X[:800], Y[:800]
X_test, Y_test = X[800:], Y[800:]


class MoonNet(nn.Module):
    def __init__(self):
        super(MoonNet, self).__init__()
        self.layer1 = nn.Linear(2, 20)
        self.layer2 = nn.Linear(20, 20)
        self.layer3 = nn.Linear(20, 1)

    def forward(self, x):
        x = torch.tanh(self.layer1(x))
        x = torch.tanh(self.layer2(x))
        x = torch.sigmoid(self.layer3(x))
        return x


def accuracy(net, x, y):
    with torch.no_grad():
        return ((net(x) > 0.5).float() == y).float().mean().item()


net = MoonNet()
criterion = nn.BCELoss()
optimizer = torch.optim.Adam(net.parameters(), lr=0.005)

for epoch in range(opt.epochs):
    indices = torch.randperm(len(X_train))
    epoch_loss = 0
    for start in range(0, len(X_train), opt.batch_size):
        batch = indices[start : start + opt.batch_size]
        optimizer.zero_grad()
        y_pred = net(X_train[batch])
        loss = criterion(y_pred, Y_train[batch])
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item()
    epoch_loss /= len(X_train) / opt.batch_size
    if epoch % 3 == 2:
        print(
            "Epoch %d, loss %.4f, train acc %.3f, test acc %.3f"
            % (epoch + 1, epoch_loss, accuracy(net, X_train, Y_train), accuracy(net, X_test, Y_test))
        )
