import torch
import torch.nn as nn
from fingerprint import leave

torch.manual_seed(17)


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.layer = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU())
        self.fc = nn.Linear(16, 100)

    def forward(self, x):
        return self.fc(self.layer(torch.relu(self.bn(self.conv(x)))).mean((2, 3)))


pretrained = Backbone()
torch.save(pretrained.state_dict(), "pretrained.pth")
net = Backbone()
net.load_state_dict(torch.load("pretrained.pth", weights_only=True))
for param in net.parameters():
    param.requires_grad = False
net.fc = nn.Linear(net.fc.in_features, 4)
optimizer = torch.optim.SGD(filter(lambda p: p.requires_grad, net.parameters()), lr=0.05, momentum=0.9)
images, labels = torch.randn(64, 3, 8, 8), torch.randint(0, 4, (64,))


def epoch(train_bn):
    net.train()
    if not train_bn:
        for m in net.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.eval()
    total = 0.0
    for x, y in zip(images.split(16), labels.split(16)):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item() / 4
    return total


for i in range(2):
    print("head only", i, repr(epoch(train_bn=False)))
for param in net.layer.parameters():
    param.requires_grad = True
optimizer.add_param_group({"params": net.layer.parameters(), "lr": 0.005})
for i in range(2):
    print("layer too", i, repr(epoch(train_bn=False)), [len(g["params"]) for g in optimizer.param_groups])
net.requires_grad_(True)
optimizer = torch.optim.Adam(
    [{"params": net.fc.parameters(), "lr": 1e-3},
     {"params": [p for n, p in net.named_parameters() if not n.startswith("fc")], "lr": 1e-4}]
)  # fmt: skip
for i in range(2):
    print("all of it", i, repr(epoch(train_bn=True)))


class LoRA(nn.Module):
    def __init__(self, inner, rank=2):
        super().__init__()
        self.inner = inner.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, inner.in_features) * 0.02)
        self.up = nn.Parameter(torch.zeros(inner.out_features, rank))

    def forward(self, x):
        return self.inner(x) + x @ self.down.t() @ self.up.t()


net.requires_grad_(False)
net.fc = LoRA(net.fc)
optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-2)
for i in range(2):
    print("adapter", i, repr(epoch(train_bn=False)))
print("trainable", [n for n, p in net.named_parameters() if p.requires_grad])
leave(net, optimizer)
