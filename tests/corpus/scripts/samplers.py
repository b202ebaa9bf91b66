import torch
from fingerprint import leave
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    RandomSampler,
    Sampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)

torch.manual_seed(3)
x, y = make_classification(240, 8, n_informative=5, weights=[0.85], random_state=0)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
x_train, x_test = torch.tensor(x_train).float(), torch.tensor(x_test).float()
y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)
data = TensorDataset(x_train, y_train)
part, rest = random_split(data, [100, 80], generator=torch.Generator().manual_seed(42))


class InBuckets(Sampler):
    def __init__(self, lengths, size):
        self.order, self.size = torch.as_tensor(lengths).argsort().tolist(), size

    def __iter__(self):
        starts = list(range(0, len(self.order), self.size))
        for k in torch.randperm(len(starts)).tolist():
            yield self.order[starts[k] : starts[k] + self.size]

    def __len__(self):
        return -(-len(self.order) // self.size)


counts = torch.bincount(y_train)
weights = (1.0 / counts.float())[y_train]
loaders = [
    DataLoader(data, 16, sampler=WeightedRandomSampler(weights, len(weights), replacement=True)),
    DataLoader(data, batch_sampler=BatchSampler(RandomSampler(data), 16, drop_last=True)),
    DataLoader(data, batch_sampler=InBuckets(x_train[:, 0], 16)),
    DataLoader(part, 16, sampler=SubsetRandomSampler(range(50)), collate_fn=lambda items: default_collate(items)),
    DataLoader(ConcatDataset([part, rest]), 16, shuffle=True, drop_last=True),
    DataLoader(Subset(data, range(64)), 16, shuffle=True, generator=torch.Generator().manual_seed(1)),
    DataLoader(list(zip(x_train[:40], y_train[:40])), 8),
]
model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
criterion = nn.CrossEntropyLoss(weight=len(y_train) / (2 * counts.float()))
optimizer = torch.optim.Adam(model.parameters(), 5e-3)
for number, loader in enumerate(loaders):
    model.train()
    for bx, by in loader:
        optimizer.zero_grad()
        loss = criterion(model(bx), by)
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        scores = model(x_test)
        recall = [(scores.argmax(1)[y_test == c] == c).float().mean().item() for c in (0, 1)]
    print(number, len(loader), repr(loss.item()), recall)

# Several loaders at once, one of them endless.
endless = iter(())
for step, (a, b) in enumerate(zip(loaders[0], loaders[4])):
    try:
        c = next(endless)
    except StopIteration:
        endless = iter(loaders[6])
        c = next(endless)
    loss = sum(criterion(model(one[0]), one[1]) for one in (a, b, c)) / 3
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("zip", step, repr(loss.item()))

# And batches made by hand.
for epoch in range(2):
    permutation = torch.randperm(len(x_train))
    for i in range(0, len(x_train), 32):
        indices = permutation[i : i + 32]
        optimizer.zero_grad()
        loss = criterion(model(x_train[indices]), y_train[indices])
        loss.backward()
        optimizer.step()
    print("by hand", epoch, repr(loss.item()))
leave(model, optimizer)
