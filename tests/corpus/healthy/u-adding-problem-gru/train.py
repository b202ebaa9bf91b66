import argparse

import torch
from torch import nn


def adding_batches(batch, length, gen):
    """Endless stream: add the two numbers that carry a mark."""
    while True:
        values = torch.rand(batch, length, generator=gen)
        marks = torch.zeros(batch, length)
        half = length // 2
        i = torch.randint(0, half, (batch, 1), generator=gen)
        j = torch.randint(half, length, (batch, 1), generator=gen)
        marks.scatter_(1, i, 1.0).scatter_(1, j, 1.0)
        target = (values.gather(1, i) + values.gather(1, j)).squeeze(1)
        yield torch.stack([2 * values - 1, 2 * marks - 1], dim=2), target - 1


class Adder(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.rnn = nn.GRU(2, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1]).squeeze(1)


class Runner:
    def __init__(self, args):
        torch.manual_seed(args.seed)
        self.args = args
        self.model = Adder(args.hidden)
        self.opt = torch.optim.Adam(self.model.parameters(), lr=args.lr)
        self.train_data = adding_batches(args.batch, args.length, torch.Generator().manual_seed(args.seed + 1))
        self.test_x, self.test_y = next(adding_batches(400, args.length, torch.Generator().manual_seed(99)))

    def step(self):
        self.model.train()
        x, y = next(self.train_data)
        loss = nn.functional.mse_loss(self.model(x), y)
        self.opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.opt.step()
        return loss.item()

    @torch.no_grad()
    def test(self):
        self.model.eval()
        return nn.functional.mse_loss(self.model(self.test_x), self.test_y).item()

    def run(self):
        print(f"always answering the mean: {self.test_y.var().item():.4f}")
        acc = 0.0
        for k in range(1, self.args.steps + 1):
            acc += self.step()
            if k % 60 == 0:
                print(f"step {k:4d}  train {acc / 60:.4f}  test {self.test():.4f}")
                acc = 0.0


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--steps", type=int, default=720)
    p.add_argument("--length", type=int, default=24)
    p.add_argument("--hidden", type=int, default=32)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--lr", type=float, default=6e-3)
    Runner(p.parse_args()).run()
