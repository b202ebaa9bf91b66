"""Echo state network for the Mackey-Glass series: the reservoir stays random, only the read-out is trained."""

import argparse

import torch
from torch import nn


def mackey_glass(n, tau=17, seed=0):
    g = torch.Generator().manual_seed(seed)
    h = (1.1 + 0.2 * (torch.rand(tau + 1, generator=g) - 0.5)).tolist()
    for _ in range(n + 300):
        h.append(h[-1] + 0.2 * h[-1 - tau] / (1 + h[-1 - tau] ** 10) - 0.1 * h[-1])
    return torch.tensor(h[-n:])


class EchoState(nn.Module):
    def __init__(self, size=120, radius=0.9, leak=0.5):
        super().__init__()
        w = torch.randn(size, size) * (torch.rand(size, size) < 0.1)
        w *= radius / torch.linalg.eigvals(w).abs().max()
        self.register_buffer("w", w)
        self.register_buffer("w_in", torch.rand(size) - 0.5)
        self.register_buffer("w_bias", 0.2 * torch.randn(size))
        self.leak = leak
        self.readout = nn.Linear(size, 1)

    @torch.no_grad()
    def run(self, u):
        h, states = torch.zeros(len(self.w_in)), []
        for value in u:
            new = torch.tanh(self.w @ h + self.w_in * value + self.w_bias)
            h = (1 - self.leak) * h + self.leak * new
            states.append(h)
        return torch.stack(states)

    def forward(self, states):
        return self.readout(states).squeeze(-1)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--horizon", type=int, default=4)
    ap.add_argument("--epochs", type=int, default=30)
    ap.add_argument("--lr", type=float, default=0.01)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    series = mackey_glass(3000, seed=args.seed)
    series = (series - series[:2200].mean()) / series[:2200].std()
    net = EchoState()
    u, target = series[: -args.horizon], series[args.horizon :]
    states = net.run(u)
    wash = 100  # forget the empty start
    s_train, y_train = states[wash:2200], target[wash:2200]
    s_test, y_test = states[2200:], target[2200:]
    mean, std = s_train.mean(0), s_train.std(0)
    s_train, s_test = (s_train - mean) / std, (s_test - mean) / std

    optimizer = torch.optim.Adam(net.readout.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    loss_fn = nn.MSELoss()
    naive = loss_fn(u[2200:], y_test).item()
    for epoch in range(1, args.epochs + 1):
        total = 0.0
        for idx in torch.randperm(len(s_train)).split(50):
            loss = loss_fn(net(s_train[idx]), y_train[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(idx)
        scheduler.step()
        with torch.no_grad():
            test = loss_fn(net(s_test), y_test).item()
        if epoch % 3 == 0:
            print(
                f"epoch {epoch:2d}  train mse {total / len(s_train):.5f}  test mse {test:.5f}  (last value {naive:.3f})"
            )


if __name__ == "__main__":
    main()
