import csv
import os

import torch
from fingerprint import leave
from torch import nn

try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError:

    class SummaryWriter:
        def __init__(self, log_dir):
            os.makedirs(log_dir, exist_ok=True)
            self.file = open(os.path.join(log_dir, "scalars.csv"), "w", newline="")
            self.rows = csv.writer(self.file)

        def add_scalar(self, tag, value, step):
            self.rows.writerow([tag, float(value), step])

        def add_scalars(self, tag, values, step):
            for key, value in values.items():
                self.add_scalar(f"{tag}/{key}", value, step)

        def add_histogram(self, tag, values, step):
            self.add_scalar(tag, values.float().mean(), step)

        def add_hparams(self, hparams, metrics):
            self.rows.writerow([*hparams.items(), *metrics.items()])

        def close(self):
            self.file.close()


torch.manual_seed(0)
writer = SummaryWriter("runs/first")
model = nn.Sequential(nn.Linear(4, 8), nn.Softplus(), nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), 0.05)
data = torch.randn(64, 4)
for epoch in range(4):
    for i, x in enumerate(data.split(16)):
        y = x.sum(1, keepdim=True).sin()
        loss = nn.functional.l1_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        writer.add_scalar("Loss/train", loss, 4 * epoch + i)
    with torch.no_grad():
        val = nn.functional.l1_loss(model(data), data.sum(1, keepdim=True).sin()).item()
    writer.add_scalar("Loss/val", val, epoch)
    writer.add_scalars("both", {"train": loss.item(), "val": val}, epoch)
    writer.add_histogram("weights", model[0].weight, epoch)
    print(epoch, repr(loss.item()), repr(val))
writer.add_hparams({"lr": 0.05}, {"hparam/val": val})
writer.close()
print(sorted(os.listdir("runs")))
leave(model)
