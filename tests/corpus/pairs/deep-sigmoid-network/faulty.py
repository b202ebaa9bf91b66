import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

ACTIVATION = nn.Sigmoid


class DeepMLP(nn.Module):
    def __init__(self, n_in, n_out, width=64, depth=6):
        super().__init__()
        layers = [nn.Linear(n_in, width), ACTIVATION()]
        for _ in range(depth - 2):
            layers += [nn.Linear(width, width), ACTIVATION()]
        self.net = nn.Sequential(*layers, nn.Linear(width, n_out))

    def forward(self, x):
        return self.net(x)


class Experiment:
    def __init__(self, args):
        data = load_digits()
        x = torch.tensor(data.data, dtype=torch.float32)
        x = (x - x.mean()) / x.std()
        train, val = random_split(TensorDataset(x, torch.tensor(data.target)), [1437, 360])
        self.train_loader = DataLoader(train, batch_size=32, shuffle=True)
        self.val_loader = DataLoader(val, batch_size=360)
        self.model = DeepMLP(64, 10)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=args.lr)

    def step(self, x, y):
        self.optimizer.zero_grad()
        loss = self.criterion(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def validate(self):
        self.model.eval()
        with torch.no_grad():
            x, y = next(iter(self.val_loader))
            logits = self.model(x)
        self.model.train()
        return self.criterion(logits, y).item(), (logits.argmax(1) == y).float().mean().item()

    def run(self, epochs):
        for epoch in range(1, epochs + 1):
            losses = [self.step(x, y) for x, y in self.train_loader]
            val_loss, accuracy = self.validate()
            print(f"epoch {epoch}: {sum(losses) / len(losses):.4f} (val {val_loss:.4f}, accuracy {accuracy:.3f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    Experiment(args).run(args.epochs)
