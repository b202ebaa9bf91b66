import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


def mlp(*sizes):
    layers = []
    for a, b in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def distillation_loss(student, teacher, target, temperature, alpha):
    soft = F.kl_div(
        F.log_softmax(student / temperature, dim=1), F.softmax(teacher / temperature, dim=1), reduction="batchmean"
    )
    return alpha * temperature**2 * soft + (1 - alpha) * F.cross_entropy(student, target)


@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    return sum((model(x).argmax(1) == y).sum().item() for x, y in loader) / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--teacher-epochs", type=int, default=8)
    parser.add_argument("--student-epochs", type=int, default=10)
    parser.add_argument("--temperature", type=float, default=3.0)
    parser.add_argument("--alpha", type=float, default=0.7)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x, y = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(x, dtype=torch.float32) / 8 - 0.6, torch.tensor(y))
    train_set, val_set = random_split(data, [0.8, 0.2])
    train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=360)

    teacher = mlp(64, 128, 128, 10)
    optimizer = torch.optim.Adam(teacher.parameters(), lr=args.lr, weight_decay=1e-4)
    for epoch in range(1, args.teacher_epochs + 1):
        teacher.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            F.cross_entropy(teacher(xb), yb).backward()
            optimizer.step()
        print(f"teacher {epoch}: validation accuracy {accuracy(teacher, val_loader):.4f}")

    teacher.eval()
    student = mlp(64, 16, 10)
    optimizer = torch.optim.Adam(student.parameters(), lr=args.lr)
    for epoch in range(1, args.student_epochs + 1):
        student.train()
        total = 0.0
        for xb, yb in train_loader:
            with torch.no_grad():
                guidance = teacher(xb)
            loss = distillation_loss(student(xb), guidance, yb, args.temperature, args.alpha)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() / len(train_loader)
        print(f"student {epoch}: loss {total:.4f}, validation accuracy {accuracy(student, val_loader):.4f}")


if __name__ == "__main__":
    main()
