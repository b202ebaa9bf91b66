import argparse

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--l2", type=float, default=1e-2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, stratify=y, random_state=args.seed)
    scaler = StandardScaler().fit(x_train)
    x_train = torch.tensor(scaler.transform(x_train), dtype=torch.float32)
    x_test = torch.tensor(scaler.transform(x_test), dtype=torch.float32)
    y_train, y_test = torch.tensor(y_train).float(), torch.tensor(y_test).float()

    model = nn.Linear(x_train.shape[1], 1)
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=1.0, max_iter=4, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = criterion(model(x_train).squeeze(1), y_train) + args.l2 * model.weight.square().sum()
        loss.backward()
        return loss

    for step in range(args.steps):
        loss = optimizer.step(closure)
        with torch.no_grad():
            logits = model(x_test).squeeze(1)
            test_loss = criterion(logits, y_test)
            accuracy = ((logits > 0) == (y_test > 0.5)).float().mean()
        print(f"step {step}: objective {loss.item():.5f}, test loss {test_loss:.4f}, accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
