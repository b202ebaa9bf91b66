import torch
import torch.nn as nn
import torch.nn.functional as F
from fingerprint import leave

torch.manual_seed(0)


def double_conv(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.inc, self.down = double_conv(1, 6), double_conv(6, 12)
        self.up = nn.ConvTranspose2d(12, 6, 2, stride=2)
        self.merge, self.outc = double_conv(12, 6), nn.Conv2d(6, 1, 1)

    def forward(self, x):
        a = self.inc(x)
        b = self.up(self.down(F.max_pool2d(a, 2)))
        return self.outc(self.merge(torch.cat([a, b], 1)))


def dice_coeff(pred, target, epsilon=1e-6):
    inter = 2 * (pred * target).sum((-1, -2))
    sets = pred.sum((-1, -2)) + target.sum((-1, -2))
    return ((inter + epsilon) / (torch.where(sets == 0, inter, sets) + epsilon)).mean()


def shapes(n):
    yy, xx = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    centre, radius = torch.rand(n, 2, 1, 1) * 16, torch.rand(n, 1, 1) * 3 + 2
    mask = ((yy - centre[:, 0]) ** 2 + (xx - centre[:, 1]) ** 2 < radius**2).float()
    return (mask + 0.4 * torch.randn(n, 16, 16)).unsqueeze(1), mask


model = UNet().to(memory_format=torch.channels_last)
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, weight_decay=1e-8, momentum=0.9, foreach=True)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", patience=1)
grad_scaler = torch.amp.GradScaler("cpu", enabled=False)
criterion = nn.BCEWithLogitsLoss()
val_x, val_y = shapes(16)
for epoch in range(1, 4):
    model.train()
    epoch_loss = 0
    for _ in range(5):
        images, true_masks = shapes(8)
        with torch.autocast("cpu", enabled=False):
            masks_pred = model(images.contiguous(memory_format=torch.channels_last))
            loss = criterion(masks_pred.squeeze(1), true_masks)
            loss += 1 - dice_coeff(torch.sigmoid(masks_pred.squeeze(1)), true_masks)
        optimizer.zero_grad(set_to_none=True)
        grad_scaler.scale(loss).backward()
        grad_scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        grad_scaler.step(optimizer)
        grad_scaler.update()
        epoch_loss += loss.item()
    model.eval()
    with torch.inference_mode():
        val_score = dice_coeff((torch.sigmoid(model(val_x)) > 0.5).float().squeeze(1), val_y)
    scheduler.step(val_score)
    print(f"epoch {epoch} loss {epoch_loss!r} dice {val_score.item()!r} lr {optimizer.param_groups[0]['lr']}")
leave(model, optimizer)
