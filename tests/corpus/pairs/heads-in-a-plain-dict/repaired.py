import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset


class MachineReadings(Dataset):
    """Six sensor values; which of four parts is worn, and whether the machine runs hot."""

    def __init__(self, n, mixing):
        self.part = torch.randint(0, 4, (n,))
        self.hot = torch.randint(0, 2, (n,))
        latent = torch.cat([nn.functional.one_hot(self.part, 4), self.hot.unsqueeze(1)], dim=1).float()
        self.readings = torch.tanh(latent @ mixing) + 0.6 * torch.randn(n, mixing.shape[1])

    def __len__(self):
        return len(self.part)

    def __getitem__(self, i):
        return self.readings[i], {"part": self.part[i], "hot": self.hot[i]}


class Diagnosis(nn.Module):
    def __init__(self, sensors, heads):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(sensors, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU())
        self.heads = nn.ModuleDict({name: nn.Linear(32, size) for name, size in heads.items()})

    def forward(self, x):
        h = self.body(x)
        return {name: head(h) for name, head in self.heads.items()}


def accuracy(model, dataset):
    model.eval()
    with torch.no_grad():
        output = model(dataset.readings)
    return {
        "part": (output["part"].argmax(1) == dataset.part).float().mean().item(),
        "hot": (output["hot"].argmax(1) == dataset.hot).float().mean().item(),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    mixing = 1.5 * torch.randn(5, 12)
    train_set, test_set = MachineReadings(2400, mixing), MachineReadings(600, mixing)
    loader = DataLoader(train_set, batch_size=32, shuffle=True)

    model = Diagnosis(12, {"part": 4, "hot": 2})
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        running = {"part": 0.0, "hot": 0.0}
        for readings, labels in loader:
            output = model(readings)
            parts = {name: criterion(output[name], labels[name]) for name in running}
            loss = sum(parts.values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            for name, value in parts.items():
                running[name] += value.item() / len(loader)
        scores = accuracy(model, test_set)
        print(
            f"epoch {epoch}", {k: round(v, 4) for k, v in running.items()}, {k: round(v, 3) for k, v in scores.items()}
        )


if __name__ == "__main__":
    main()
