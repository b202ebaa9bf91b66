import argparse

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_wine
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset


def reset_weights(m):
    for layer in m.children():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--k-folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=5e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    X, y = load_wine(return_X_y=True)
    results = {}
    kfold = KFold(n_splits=args.k_folds, shuffle=True, random_state=args.seed)
    loss_function = nn.CrossEntropyLoss()

    for fold, (train_ids, test_ids) in enumerate(kfold.split(X)):
        print(f"FOLD {fold}")
        scaler = StandardScaler().fit(X[train_ids])
        dataset = TensorDataset(torch.tensor(scaler.transform(X), dtype=torch.float32), torch.tensor(y))
        trainloader = DataLoader(dataset, batch_size=10, sampler=SubsetRandomSampler(train_ids))
        testloader = DataLoader(dataset, batch_size=10, sampler=SubsetRandomSampler(test_ids))

        network = nn.Sequential(nn.Linear(13, 20), nn.ReLU(), nn.Linear(20, 3))
        network.apply(reset_weights)
        optimizer = torch.optim.Adam(network.parameters(), lr=args.lr)

        for epoch in range(args.epochs):
            network.train()
            current_loss = 0.0
            for inputs, targets in trainloader:
                optimizer.zero_grad()
                loss = loss_function(network(inputs), targets)
                loss.backward()
                optimizer.step()
                current_loss += loss.item()
            if epoch % 4 == 3:
                print(f"  epoch {epoch + 1}: loss {current_loss / len(trainloader):.4f}")

        network.eval()
        correct = total = 0
        with torch.no_grad():
            for inputs, targets in testloader:
                correct += (network(inputs).argmax(1) == targets).sum().item()
                total += targets.size(0)
        results[fold] = 100.0 * correct / total
        print(f"  accuracy: {results[fold]:.1f}%")

    print(f"Average: {np.mean(list(results.values())):.2f}%")


if __name__ == "__main__":
    main()
