"""Night or day, rain or shine: two labels for each small weather strip."""

import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset


def weather(n):
    """Strips of 3 channels x 24 hours: light, moisture, temperature; tags are (dark, wet)."""
    tags = torch.randint(2, (n, 2)).float()
    hours = torch.arange(24) / 24
    light = 1 - 1.2 * tags[:, :1] + 0.3 * torch.sin(6.2832 * hours)
    wet = torch.where(tags[:, 1:] == 1, torch.sin(4 * 6.2832 * (hours + torch.rand(n, 1))), torch.zeros(n, 24))
    warm = 0.4 * (1 - tags[:, :1]) * torch.ones(24) - 0.2 * wet
    return TensorDataset(torch.stack([light - 0.4, wet, warm - 0.2], 1) + 0.7 * torch.randn(n, 3, 24), tags)


class StripNet(nn.Module):
    def __init__(self, width, p):
        super().__init__()
        self.conv1 = nn.Conv1d(3, width, 5, padding=2)
        self.bn1 = nn.BatchNorm1d(width)
        self.conv2 = nn.Conv1d(width, width, 5, padding=2)
        self.bn2 = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(p)
        self.fc = nn.Linear(width, 2)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return self.fc(self.drop(x.mean(2)))


def create_model(width=24, p=0.3):
    """A new model with He initialisation, checked on one empty strip."""
    model = StripNet(width, p)
    for m in model.modules():
        if isinstance(m, nn.Conv1d):
            nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
            nn.init.zeros_(m.bias)
    model.eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 24)).shape == (1, 2)
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=0.02)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    loader = DataLoader(weather(1600), batch_size=32, shuffle=True)
    model = create_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    criterion = nn.BCEWithLogitsLoss()
    for epoch in range(args.epochs):
        running, right, seen = 0.0, 0, 0
        for x, tags in loader:
            optimizer.zero_grad()
            logits = model(x)
            loss = criterion(logits, tags)
            loss.backward()
            optimizer.step()
            running += loss.item()
            right += ((logits > 0) == (tags > 0.5)).sum().item()
            seen += tags.numel()
        print(f"epoch {epoch + 1}: loss {running / len(loader):.4f}, tags right {right / seen:.3f}")
    x, tags = weather(400).tensors
    model.eval()
    with torch.no_grad():
        print(f"test: tags right {((model(x) > 0) == (tags > 0.5)).float().mean():.3f}")
