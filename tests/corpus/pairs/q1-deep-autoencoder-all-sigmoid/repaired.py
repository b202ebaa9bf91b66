import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader


class AutoEncoder(nn.Module):
    def __init__(self, sizes, act):
        super().__init__()
        enc, dec = [], []
        for a, b in zip(sizes[:-1], sizes[1:]):
            enc += [nn.Linear(a, b), act()]
        rev = sizes[::-1]
        for a, b in zip(rev[:-2], rev[1:-1]):
            dec += [nn.Linear(a, b), act()]
        self.encoder = nn.Sequential(*enc[:-1])
        self.decoder = nn.Sequential(*dec, nn.Linear(rev[-2], rev[-1]))

    def forward(self, x):
        return self.decoder(self.encoder(x))


def explained(model, x):
    model.eval()
    with torch.no_grad():
        err = ((model(x) - x) ** 2).mean()
    return err.item(), 1 - err.item() / ((x - x.mean(0)) ** 2).mean().item()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=24)
    p.add_argument("--lr", type=float, default=0.2)
    p.add_argument("--code", type=int, default=16)
    args = p.parse_args()
    torch.manual_seed(args.seed)

    x = torch.tensor(load_digits().data, dtype=torch.float32)
    x = x[torch.randperm(len(x))]
    x = (x - x[:1400].mean()) / x[:1400].std()
    x_train, x_test = x[:1400], x[1400:]
    loader = DataLoader(x_train, batch_size=25, shuffle=True)

    model = AutoEncoder([64, 56, 48, 32, args.code], nn.Tanh)
    loss_fn = nn.MSELoss()
    opt = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)

    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for batch in loader:
            opt.zero_grad()
            loss = loss_fn(model(batch), batch)
            loss.backward()
            opt.step()
            total += loss.item() * len(batch)
        if epoch % 2 == 1:
            test_loss, r2 = explained(model, x_test)
            print(
                f"epoch {epoch + 1}: reconstruction loss {total / len(x_train):.4f}, test {test_loss:.4f}, explained variance {r2:.3f}"
            )


if __name__ == "__main__":
    main()
