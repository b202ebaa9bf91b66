import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class TwoHeads(nn.Module):
    def __init__(self, n_features):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(n_features, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU())
        self.segment_head = nn.Linear(32, 3)
        self.spend_head = nn.Sequential(nn.Linear(32, 6), nn.Tanh(), nn.Linear(6, 1))

    def forward(self, x):
        h = self.trunk(x)
        return self.segment_head(h), self.spend_head(h).squeeze(1)


def customers(n, rng):
    x = rng.normal(size=(n, 10))
    score = np.stack([x[:, 0] + x[:, 1] * x[:, 2], x[:, 3] - x[:, 0], -x[:, 1] + x[:, 4]], 1) * 2
    segment = (score + rng.gumbel(size=score.shape) * 0.2).argmax(1)
    spend = 2.0 * np.sin(x[:, 5]) + x[:, 6] * x[:, 7] + 0.8 * x[:, 3] + rng.normal(size=n) * 0.2
    spend = (spend - spend.mean()) / spend.std()
    return torch.tensor(x).float(), torch.tensor(segment), torch.tensor(spend).float()


def step(model, batch, optimizer):
    x, segment, spend = batch
    logits, amount = model(x)
    ce, mse = F.cross_entropy(logits, segment), F.mse_loss(amount, spend)
    loss = ce + mse
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return ce.item(), mse.item()


@torch.no_grad()
def report(model, x, segment, spend):
    model.eval()
    logits, amount = model(x)
    acc = (logits.argmax(1) == segment).float().mean().item()
    r2 = 1 - F.mse_loss(amount, spend).item() / spend.var(unbiased=False).item()
    model.train()
    return acc, r2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    x, segment, spend = customers(6000, np.random.default_rng(args.seed))
    train, valid = slice(0, 5000), slice(5000, None)
    model = TwoHeads(x.shape[1])
    optimizer = torch.optim.Adam(
        [
            {"params": model.trunk.parameters(), "lr": 2e-3},
            {"params": model.segment_head.parameters(), "lr": 4e-3},
            {"params": model.spend_head.parameters(), "lr": 4e-3},
        ]
    )

    done, ce_sum, mse_sum = 0, 0.0, 0.0
    while done < args.max_steps:
        for idx in torch.randperm(5000).split(args.batch_size):
            ce, mse = step(model, (x[train][idx], segment[train][idx], spend[train][idx]), optimizer)
            ce_sum, mse_sum, done = ce_sum + ce, mse_sum + mse, done + 1
            if done % 150 == 0:
                acc, r2 = report(model, x[valid], segment[valid], spend[valid])
                print(
                    f"step {done:5d}  ce {ce_sum / 150:.3f}  mse {mse_sum / 150:.3f}  "
                    f"val acc {acc:.3f}  val R2 {r2:.3f}"
                )
                ce_sum = mse_sum = 0.0
            if done >= args.max_steps:
                break


if __name__ == "__main__":
    main()
