import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def parts(n, generator):
    """Measurements of produced parts; one in sixty is defective, and only moderately different."""
    defective = torch.rand(n, generator=generator) < 1 / 61
    x = torch.randn(n, 12, generator=generator)
    x[:, :4] += 1.3 * defective.float().unsqueeze(1)
    return x, defective.long()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--lr", type=float, default=1e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)
generator = torch.Generator().manual_seed(args.seed)

x_train, y_train = parts(6000, generator)
x_test, y_test = parts(3000, generator)
counts = torch.bincount(y_train)
print("parts per class:", counts.tolist())
loader = DataLoader(TensorDataset(x_train, y_train), batch_size=100, shuffle=True)

model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=1e-4)
criterion = nn.CrossEntropyLoss(weight=counts.sum() / (2.0 * counts))

for epoch in range(1, args.epochs + 1):
    model.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item() / len(loader)

    model.eval()
    with torch.no_grad():
        logits = model(x_test)
        guess = logits.argmax(1)
        accuracy = (guess == y_test).float().mean()
        recalls = [(guess[y_test == k] == k).float().mean().item() for k in (0, 1)]
        test_loss = criterion(logits, y_test)
    print(f"{epoch} loss {total:.4f} test {test_loss:.4f} acc {accuracy:.4f} recall {recalls[0]:.3f} {recalls[1]:.3f}")
