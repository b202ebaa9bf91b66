import argparse

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_wine
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler


def new_model():
    return torch.nn.Sequential(
        torch.nn.Linear(13, 16),
        torch.nn.Tanh(),
        torch.nn.Linear(16, 3),
    )


def fit_fold(x, y, x_val, y_val, epochs, lr):
    model = new_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=1e-3)
    for epoch in range(epochs):
        model.train()
        for idx in torch.randperm(len(x)).split(16):
            if len(idx) < 4:
                continue
            loss = F.cross_entropy(model(x[idx]), y[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        logits = model(x_val)
        return F.cross_entropy(logits, y_val).item(), (logits.argmax(1) == y_val).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--lr", type=float, default=0.05)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    data, target = load_wine(return_X_y=True)
    scores = []
    folds = StratifiedKFold(args.folds, shuffle=True, random_state=args.seed)
    for k, (tr, va) in enumerate(folds.split(data, target), 1):
        scaler = StandardScaler().fit(data[tr])
        x_tr, x_va = (torch.from_numpy(scaler.transform(data[i])).float() for i in (tr, va))
        y_tr, y_va = torch.from_numpy(target[tr]), torch.from_numpy(target[va])
        loss, acc = fit_fold(x_tr, y_tr, x_va, y_va, args.epochs, args.lr)
        print(f"fold {k}: val loss {loss:.4f}  accuracy {acc:.3f}")
        scores.append(acc)
    print(f"mean accuracy {np.mean(scores):.3f} +- {np.std(scores):.3f}")


if __name__ == "__main__":
    main()
