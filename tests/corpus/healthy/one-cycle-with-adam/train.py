import argparse

import torch
from sklearn.datasets import make_friedman2
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset


class Learner:
    """Model, data and optimizer in one place, fastai style."""

    def __init__(self, model, train_dl, valid_dl, loss_func):
        self.model, self.train_dl, self.valid_dl, self.loss_func = model, train_dl, valid_dl, loss_func

    def fit_one_cycle(self, epochs, max_lr):
        self.opt = torch.optim.Adam(self.model.parameters(), lr=max_lr, betas=(0.95, 0.99))
        self.sched = OneCycleLR(self.opt, max_lr=max_lr, epochs=epochs, steps_per_epoch=len(self.train_dl))
        print("epoch  train_loss  valid_loss")
        for epoch in range(epochs):
            self.model.train()
            train_loss = self.all_batches(self.train_dl, training=True)
            self.model.eval()
            with torch.no_grad():
                valid_loss = self.all_batches(self.valid_dl, training=False)
            print(f"{epoch:<6} {train_loss:<11.5f} {valid_loss:<.5f}")

    def all_batches(self, dl, training):
        losses = []
        for xb, yb in dl:
            loss = self.loss_func(self.model(xb), yb)
            if training:
                loss.backward()
                self.opt.step()
                self.sched.step()
                self.opt.zero_grad()
            losses.append(loss.item())
        return sum(losses) / len(losses)


def get_data(seed):
    x, y = make_friedman2(n_samples=2400, noise=20.0, random_state=seed)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32).unsqueeze(1)
    x_train, x_valid, y_train, y_valid = x[:2000], x[2000:], y[:2000], y[2000:]
    xm, xs, ym, ys = x_train.mean(0), x_train.std(0), y_train.mean(), y_train.std()
    train_ds = TensorDataset((x_train - xm) / xs, (y_train - ym) / ys)
    valid_ds = TensorDataset((x_valid - xm) / xs, (y_valid - ym) / ys)
    return DataLoader(train_ds, batch_size=50, shuffle=True), DataLoader(valid_ds, batch_size=200)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--max-lr", type=float, default=1e-2)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train_dl, valid_dl = get_data(args.seed)
    model = nn.Sequential(
        nn.Linear(4, 50), nn.ReLU(), nn.BatchNorm1d(50), nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 1)
    )
    Learner(model, train_dl, valid_dl, nn.MSELoss()).fit_one_cycle(args.epochs, args.max_lr)
