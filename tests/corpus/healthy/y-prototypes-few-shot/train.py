"""Prototypical networks: five-way episodes over forty made-up classes, tested on classes never seen."""

import argparse

import torch
from torch import nn

WAY, SHOT, QUERY, DIM = 5, 3, 6, 20


class World:
    """Each class is a point in eight hidden numbers, seen through a fixed nonlinear mixing."""

    def __init__(self, classes):
        self.centres = torch.randn(classes, 8)

    def sample(self, ids, n, mixing):
        hidden = self.centres[ids][:, None] + 0.35 * torch.randn(len(ids), n, 8)
        seen = torch.cat([hidden, torch.randn(len(ids), n, 8)], dim=2)
        return torch.tanh(seen @ mixing) + 0.05 * torch.randn(len(ids), n, DIM)


def episode_loss(net, world, mixing):
    ids = torch.randperm(len(world.centres))[:WAY]
    x = world.sample(ids, SHOT + QUERY, mixing)
    z = net(x)
    prototypes = z[:, :SHOT].mean(1)
    queries = z[:, SHOT:].reshape(WAY * QUERY, -1)
    labels = torch.arange(WAY).repeat_interleave(QUERY)
    logits = -(torch.cdist(queries, prototypes) ** 2)
    accuracy = (logits.argmax(1) == labels).float().mean().item()
    return nn.functional.cross_entropy(logits, labels), accuracy


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--episodes", type=int, default=800)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    mixing = 0.4 * torch.randn(16, DIM)
    seen_classes, new_classes = World(40), World(15)
    net = nn.Sequential(nn.Linear(DIM, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    window = []
    for i in range(1, args.episodes + 1):
        net.train()
        loss, accuracy = episode_loss(net, seen_classes, mixing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        window.append((loss.item(), accuracy))
        if i % 100 == 0:
            net.eval()
            with torch.no_grad():
                tests = [episode_loss(net, new_classes, mixing)[1] for _ in range(50)]
            mean_loss, mean_acc = (sum(c) / len(c) for c in zip(*window))
            print(f"{i:4d} loss {mean_loss:.3f} acc {mean_acc:.3f} | new classes acc {sum(tests) / len(tests):.3f}")
            window = []


if __name__ == "__main__":
    main()
