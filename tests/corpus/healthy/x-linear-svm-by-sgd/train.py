import argparse

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler


def hinge(scores, labels):
    return torch.clamp(1 - labels * scores, min=0).mean()


def fit_svm(x, y, epochs, batch_size, lam):
    svm = torch.nn.Linear(x.shape[1], 1)
    torch.nn.init.zeros_(svm.weight)
    torch.nn.init.zeros_(svm.bias)
    optimizer = torch.optim.SGD(svm.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=epochs, power=1.0)
    history = []
    for _ in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(x)).split(batch_size):
            optimizer.zero_grad()
            scores = svm(x[rows]).squeeze(1)
            objective = hinge(scores, y[rows]) + 0.5 * lam * svm.weight.square().sum()
            objective.backward()
            optimizer.step()
            total += objective.item() * len(rows)
        schedule.step()
        history.append(total / len(x))
    return svm, history


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--lam", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    features, target = load_breast_cancer(return_X_y=True)
    folds = StratifiedKFold(args.folds, shuffle=True, random_state=args.seed)
    scores = []
    for fold, (train, test) in enumerate(folds.split(features, target)):
        scaler = StandardScaler().fit(features[train])
        x = torch.tensor(scaler.transform(features), dtype=torch.float32)
        y = torch.tensor(2.0 * target - 1, dtype=torch.float32)
        svm, history = fit_svm(x[train], y[train], args.epochs, 16, args.lam)
        with torch.no_grad():
            agree = (svm(x[test]).squeeze(1).sign() == y[test]).float().mean().item()
        scores.append(agree)
        print(f"fold {fold}: objective {history[0]:.4f} -> {history[-1]:.4f}, accuracy {agree:.3f}")
    print(f"mean accuracy {sum(scores) / len(scores):.3f}")


if __name__ == "__main__":
    main()
