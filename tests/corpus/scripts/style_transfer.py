"""Optimises an image by L-BFGS against frozen features, then a small network against the same features."""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from fingerprint import leave

torch.manual_seed(21)
features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 12, 3, padding=1))
for p in features.parameters():
    p.requires_grad_(False)
features.eval()


def gram_matrix(input):
    a, b, c, d = input.size()
    flat = input.view(a * b, c * d)
    return torch.mm(flat, flat.t()).div(a * b * c * d)


class ContentLoss(nn.Module):
    def __init__(self, target):
        super().__init__()
        self.target = target.detach()

    def forward(self, input):
        self.loss = F.mse_loss(input, self.target)
        return input


class StyleLoss(nn.Module):
    def __init__(self, target_feature):
        super().__init__()
        self.target = gram_matrix(target_feature).detach()

    def forward(self, input):
        self.loss = F.mse_loss(gram_matrix(input), self.target)
        return input


content_img, style_img = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
content_loss, style_loss = ContentLoss(features(content_img)), StyleLoss(features[:2](style_img))
model = nn.Sequential(features[0], features[1], style_loss, features[2], features[3], content_loss)
input_img = content_img.clone()
input_img.requires_grad_(True)
model.eval()
model.requires_grad_(False)
optimizer = optim.LBFGS([input_img])
run = [0]
while run[0] <= 40:

    def closure():
        with torch.no_grad():
            input_img.clamp_(0, 1)
        optimizer.zero_grad()
        model(input_img)
        loss = 1e4 * style_loss.loss + content_loss.loss
        loss.backward()
        run[0] += 1
        if run[0] % 10 == 0:
            print(f"run {run}: Style Loss : {style_loss.loss.item()!r} Content Loss: {content_loss.loss.item()!r}")
        return 1e4 * style_loss.loss + content_loss.loss

    optimizer.step(closure)
with torch.no_grad():
    input_img.clamp_(0, 1)


class TransformerNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8, affine=True))
        self.up = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x):
        return self.up(F.interpolate(F.relu(self.conv(x)), scale_factor=1.0, mode="nearest"))


transformer = TransformerNet()
optimizer = optim.Adam(transformer.parameters(), 1e-3)
gram_style = gram_matrix(features(style_img))
agg_content_loss = agg_style_loss = 0.0
for batch_id in range(12):
    x = torch.rand(4, 3, 16, 16)
    optimizer.zero_grad()
    y = transformer(x)
    features_y, features_x = features(y), features(x)
    content = 1e5 * F.mse_loss(features_y, features_x)
    style = 0.0
    for one in features_y:
        style += F.mse_loss(gram_matrix(one.unsqueeze(0)), gram_style)
    variation = (y[..., 1:] - y[..., :-1]).abs().mean() + (y[..., 1:, :] - y[..., :-1, :]).abs().mean()
    total_loss = content + 1e3 * style + variation
    total_loss.backward()
    optimizer.step()
    agg_content_loss += content.item()
    agg_style_loss += style.item()
    if (batch_id + 1) % 4 == 0:
        print(f"[{batch_id + 1}/12]\tcontent: {agg_content_loss / (batch_id + 1)!r}\tstyle: {agg_style_loss!r}")
leave(input_img, transformer)
