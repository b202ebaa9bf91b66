import copy

import torch
from fingerprint import leave
from torch import nn
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(12)
x = torch.randn(160, 6)
y = (x @ torch.randn(6, 1) + 0.1 * torch.randn(160, 1)).squeeze(1)
loader = DataLoader(TensorDataset(x, y), batch_size=20, shuffle=True)
model = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 1), nn.Flatten(0))
loss_fn = nn.HuberLoss()
swa_model = AveragedModel(model)
ema_model = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.95))


class EMA:
    """The kind that people write themselves."""

    def __init__(self, model, decay):
        self.shadow, self.decay = copy.deepcopy(model), decay
        for p in self.shadow.parameters():
            p.requires_grad_(False)

    @torch.no_grad()
    def update(self, model):
        for s, p in zip(self.shadow.parameters(), model.parameters(), strict=True):
            s.mul_(self.decay).add_(p, alpha=1 - self.decay)
        for s, b in zip(self.shadow.buffers(), model.buffers(), strict=True):
            s.copy_(b)


ema = EMA(model, 0.9)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6)
swa_scheduler = SWALR(optimizer, swa_lr=0.02, anneal_epochs=2)
snapshots = []
for epoch in range(6):
    for a, b in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(a), b)
        loss.backward()
        optimizer.step()
        ema.update(model)
        ema_model.update_parameters(model)
    if epoch > 2:
        swa_model.update_parameters(model)
        swa_scheduler.step()
    else:
        scheduler.step()
    snapshots.append(copy.deepcopy(model.state_dict()))
    print(epoch, repr(loss.item()), swa_scheduler.get_last_lr())
update_bn(loader, swa_model)
model.eval()
swa_model.eval()
ema.shadow.eval()
with torch.no_grad():
    for name, net in (("model", model), ("swa", swa_model), ("ema", ema.shadow), ("averaged", ema_model.eval())):
        print(name, loss_fn(net(x), y).item())
torch.save(swa_model, "swa.pt")
leave(model, swa_model, ema.shadow, ema_model, snapshots)
