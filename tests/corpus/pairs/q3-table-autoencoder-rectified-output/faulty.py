import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader


class AutoEncoder(nn.Module):
    def __init__(self, n_features, bottleneck):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(n_features, 48),
            nn.ReLU(),
            nn.Linear(48, bottleneck),
        )
        self.decoder = nn.Sequential(
            nn.Linear(bottleneck, 48),
            nn.ReLU(),
            nn.Linear(48, n_features),
            nn.ReLU(),
        )

    def forward(self, x):
        return self.decoder(self.encoder(x))


class Trainer:
    def __init__(self, model, lr):
        self.model = model
        self.loss_fn = nn.MSELoss()
        self.opt = torch.optim.Adam(model.parameters(), lr=lr)

    def fit(self, loader, x_val, epochs):
        for epoch in range(1, epochs + 1):
            self.model.train()
            seen, total = 0, 0.0
            for xb in loader:
                loss = self.loss_fn(self.model(xb), xb)
                self.opt.zero_grad()
                loss.backward()
                self.opt.step()
                total += loss.item() * xb.shape[0]
                seen += xb.shape[0]
            if epoch % 5 == 0 or epoch == 1:
                print("epoch %3d  train mse %.4f  val mse %.4f" % (epoch, total / seen, self.score(x_val)))

    @torch.no_grad()
    def score(self, x):
        self.model.eval()
        return self.loss_fn(self.model(x), x).item()


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--bottleneck", type=int, default=8)
    p.add_argument("--epochs", type=int, default=40)
    args = p.parse_args()
    torch.manual_seed(args.seed)

    X = load_breast_cancer().data
    X_train, X_val = train_test_split(X, test_size=0.2, random_state=args.seed)
    scaler = StandardScaler().fit(X_train)
    X_train = torch.tensor(scaler.transform(X_train), dtype=torch.float32)
    X_val = torch.tensor(scaler.transform(X_val), dtype=torch.float32)

    model = AutoEncoder(X_train.shape[1], args.bottleneck)
    trainer = Trainer(model, lr=2e-3)
    trainer.fit(DataLoader(X_train, batch_size=32, shuffle=True), X_val, args.epochs)
    variance = X_val.var().item()
    print(f"explained variance: {1 - trainer.score(X_val) / variance:.3f}")
