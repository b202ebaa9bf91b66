import random

import torch
import torch.nn as nn
import torch.optim as optim
from fingerprint import leave
from sklearn.datasets import load_digits
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset

random.seed(8)
torch.manual_seed(8)


class SiameseNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 16))
        self.fc = nn.Sequential(nn.Linear(32, 16), nn.ReLU(inplace=True), nn.Linear(16, 1))
        self.sigmoid = nn.Sigmoid()
        self.backbone.apply(self.init_weights)
        self.fc.apply(self.init_weights)

    def init_weights(self, m):
        if isinstance(m, nn.Linear):
            torch.nn.init.xavier_uniform_(m.weight)
            m.bias.data.fill_(0.01)

    def forward_once(self, x):
        return self.backbone(x).view(x.size(0), -1)

    def forward(self, input1, input2):
        output = torch.cat((self.forward_once(input1), self.forward_once(input2)), 1)
        return self.sigmoid(self.fc(output))


class APP_MATCHER(Dataset):
    def __init__(self, images, labels):
        self.data, self.targets = images, labels
        self.group = {i: (labels == i).nonzero().flatten() for i in range(10)}

    def __len__(self):
        return 256

    def __getitem__(self, index):
        selected_class = random.randint(0, 9)
        members = self.group[selected_class]
        first = self.data[members[random.randint(0, len(members) - 1)]]
        if index % 2 == 0:
            second = self.data[members[random.randint(0, len(members) - 1)]]
            return first, second, torch.tensor(1, dtype=torch.float)
        other = random.choice([c for c in range(10) if c != selected_class])
        return first, self.data[self.group[other][0]], torch.tensor(0, dtype=torch.float)


x, y = load_digits(return_X_y=True)
loader = DataLoader(APP_MATCHER(torch.tensor(x / 16).float(), torch.tensor(y)), batch_size=32, shuffle=True)
model, criterion = SiameseNetwork(), nn.BCELoss()
optimizer = optim.Adadelta(model.parameters(), lr=1.0)
scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
for epoch in range(1, 4):
    model.train()
    for batch_idx, (images_1, images_2, targets) in enumerate(loader):
        optimizer.zero_grad()
        outputs = model(images_1, images_2).squeeze()
        loss = criterion(outputs, targets)
        loss.backward()
        optimizer.step()
        if batch_idx % 4 == 0:
            print(f"Train Epoch: {epoch} [{batch_idx * 32}/256]\tLoss: {loss.item()!r}")
    model.eval()
    correct = 0
    with torch.no_grad():
        for images_1, images_2, targets in loader:
            outputs = model(images_1, images_2).squeeze()
            pred = torch.where(outputs > 0.5, 1, 0)
            correct += pred.eq(targets.view_as(pred)).sum().item()
    print(f"Accuracy: {correct}/256")
    scheduler.step()

# A second stage with a triplet loss on the same backbone, margins by hand and by the library.
triplet = nn.TripletMarginLoss(margin=0.5)
optimizer = optim.SGD(model.backbone.parameters(), lr=0.01, nesterov=True, momentum=0.9)
model.train()
for step in range(10):
    anchor, positive, target = next(iter(loader))
    a, p, n = (model.forward_once(t) for t in (anchor, positive, positive.roll(1, 0)))
    loss = triplet(a, p, n) + torch.relu((a - p).norm(dim=1) - (a - n).norm(dim=1) + 0.2).mean()
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
    print("triplet", step, repr(loss.item()), int(target.sum()))
leave(model)
