import argparse

import torch
from sklearn.datasets import make_classification
from sklearn.metrics import classification_report
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

KEEP_PROB = 0.9


class Net(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.hidden1 = nn.Linear(n_in, 96)
        self.hidden2 = nn.Linear(96, 48)
        self.output = nn.Linear(48, n_out)
        self.dropout = nn.Dropout(1 - KEEP_PROB)

    def forward(self, x):
        x = self.dropout(torch.relu(self.hidden1(x)))
        x = self.dropout(torch.relu(self.hidden2(x)))
        return self.output(x)


def prepare(seed):
    X, y = make_classification(3000, 16, n_informative=10, n_redundant=2, n_classes=4, class_sep=1.6, random_state=seed)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=seed, stratify=y)
    scaler = StandardScaler()
    X_train = torch.as_tensor(scaler.fit_transform(X_train), dtype=torch.float32)
    X_test = torch.as_tensor(scaler.transform(X_test), dtype=torch.float32)
    return X_train, X_test, torch.as_tensor(y_train), torch.as_tensor(y_test)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    X_train, X_test, y_train, y_test = prepare(args.seed)
    loader = DataLoader(TensorDataset(X_train, y_train), batch_size=40, shuffle=True, drop_last=True)
    net = Net(X_train.shape[1], 4)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)

    for epoch in range(args.epochs):
        net.train()
        running_loss = 0.0
        for inputs, labels in loader:
            optimizer.zero_grad()
            outputs = net(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        net.eval()
        with torch.no_grad():
            outputs = net(X_test)
            test_loss = criterion(outputs, y_test).item()
        print("[%d] loss: %.3f test loss: %.3f" % (epoch + 1, running_loss / len(loader), test_loss))

    print(classification_report(y_test.numpy(), outputs.argmax(dim=1).numpy(), zero_division=0))


if __name__ == "__main__":
    main()
