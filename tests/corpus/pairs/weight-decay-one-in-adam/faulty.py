import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=9)
parser.add_argument("--lr", type=float, default=2e-3)
parser.add_argument("--weight-decay", type=float, default=1.0)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = load_digits(return_X_y=True)
X_train, X_val, y_train, y_val = train_test_split(X, y, test_size=0.25, random_state=args.seed)
mean, std = X_train.mean(), X_train.std()


def to_dataset(features, labels):
    features = torch.tensor((features - mean) / std, dtype=torch.float32).reshape(-1, 1, 8, 8)
    return TensorDataset(features, torch.tensor(labels))


train_loader = DataLoader(to_dataset(X_train, y_train), batch_size=32, shuffle=True)
val_loader = DataLoader(to_dataset(X_val, y_val), batch_size=128)

model = nn.Sequential(
    nn.Conv2d(1, 16, 3),
    nn.ReLU(),
    nn.Conv2d(16, 24, 3),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(96, 64),
    nn.ReLU(),
    nn.Linear(64, 10),
)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=args.weight_decay)

for epoch in range(args.epochs):
    for phase, loader in (("train", train_loader), ("val", val_loader)):
        model.train(phase == "train")
        running_loss, running_corrects, seen = 0.0, 0, 0
        for inputs, labels in loader:
            optimizer.zero_grad()
            with torch.set_grad_enabled(phase == "train"):
                outputs = model(inputs)
                loss = criterion(outputs, labels)
                if phase == "train":
                    loss.backward()
                    optimizer.step()
            running_loss += loss.item() * inputs.size(0)
            running_corrects += (outputs.argmax(1) == labels).sum().item()
            seen += inputs.size(0)
        print(f"{epoch:2d} {phase:5s} Loss: {running_loss / seen:.4f} Acc: {running_corrects / seen:.4f}")
