import argparse

import torch
from torch import nn


def adding_problem(batch, length):
    """Sum the two marked values of a random sequence (Hochreiter and Schmidhuber 1997)."""
    values = torch.rand(batch, length)
    marks = torch.zeros(batch, length)
    rows = torch.arange(batch)
    first = torch.randint(0, length // 2, (batch,))
    second = torch.randint(length // 2, length, (batch,))
    marks[rows, first] = 1.0
    marks[rows, second] = 1.0
    target = values[rows, first] + values[rows, second]
    return torch.stack([values, marks], dim=-1), target.unsqueeze(1) - 1.0


class Adder(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.rnn = nn.RNN(2, hidden, nonlinearity="relu", batch_first=True)
        self.out = nn.Linear(hidden, 1)
        nn.init.normal_(self.rnn.weight_ih_l0, std=0.1)
        nn.init.eye_(self.rnn.weight_hh_l0)
        nn.init.zeros_(self.rnn.bias_ih_l0)
        nn.init.zeros_(self.rnn.bias_hh_l0)

    def forward(self, x):
        _, last = self.rnn(x)
        return self.out(last[0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--length", type=int, default=20)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    model = Adder()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    x_val, y_val = adding_problem(500, args.length)
    for step in range(1, args.steps + 1):
        model.train()
        x, y = adding_problem(32, args.length)
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            model.eval()
            with torch.no_grad():
                val = criterion(model(x_val), y_val)
            print(f"step {step:4d} | train {loss.item():.4g} | val {val.item():.4g} | variance {y_val.var():.3f}")


if __name__ == "__main__":
    main()
