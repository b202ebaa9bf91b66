import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F

MOVES = 8


def positions(n, preference):
    """States, legal moves, and the move a nearly perfect expert makes."""
    state = torch.randn(n, 10)
    legal = torch.rand(n, MOVES) < 0.6
    legal[torch.arange(n), torch.randint(0, MOVES, (n,))] = True
    value = torch.tanh(state) @ preference + 0.1 * torch.randn(n, MOVES)
    return state, legal, value.masked_fill(~legal, -1e9).argmax(dim=1)


def entropy_of(logits):
    p = F.softmax(logits, dim=1)
    plogp = torch.where(p > 0, p * p.log(), torch.zeros_like(p))
    return -plogp.sum(dim=1).mean()


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 64), nn.Tanh(), nn.Linear(64, MOVES))

    def forward(self, state, legal):
        return self.net(state).masked_fill(~legal, float("-inf"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--entropy", type=float, default=0.01)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    preference = torch.randn(10, MOVES)
    train, val = positions(2500, preference), positions(500, preference)

    policy = Policy()
    optimizer = torch.optim.Adam(policy.parameters(), lr=3e-3)
    for epoch in range(args.epochs):
        policy.train()
        losses = []
        for rows in torch.randperm(2500).split(50):
            state, legal, move = (t[rows] for t in train)
            logits = policy(state, legal)
            loss = F.cross_entropy(logits, move) - args.entropy * entropy_of(logits)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        policy.eval()
        with torch.no_grad():
            state, legal, move = val
            agree = (policy(state, legal).argmax(dim=1) == move).float().mean().item()
        print(f"epoch {epoch + 1:2d} loss {sum(losses) / len(losses):.4f} agreement with the expert {agree:.3f}")


if __name__ == "__main__":
    main()
