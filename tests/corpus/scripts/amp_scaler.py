import argparse

import torch
from fingerprint import leave
from torch import autocast, nn
from torch.amp import GradScaler

parser = argparse.ArgumentParser()
parser.add_argument("--accum", type=int, default=2)
parser.add_argument("--fp16", action="store_true")
args = parser.parse_args()
torch.manual_seed(0)
dtype = torch.float16 if args.fp16 else torch.bfloat16


def make_model(in_size, out_size, num_layers):
    layers = []
    for _ in range(num_layers - 1):
        layers += [nn.Linear(in_size, in_size), nn.ReLU()]
    layers.append(nn.Linear(in_size, out_size))
    return nn.Sequential(*layers)


net = make_model(16, 4, 3)
opt = torch.optim.SGD(net.parameters(), lr=0.01)
scaler = GradScaler("cpu", init_scale=2.0**30, growth_interval=4)
loss_fn = nn.MSELoss()
data = [torch.randn(8, 16) for _ in range(8)]
targets = [torch.randn(8, 4) for _ in range(8)]
skipped = 0
for epoch in range(3):
    for i, (input, target) in enumerate(zip(data, targets)):
        with autocast(device_type="cpu", dtype=dtype):
            output = net(input)
            loss = loss_fn(output, target.to(output.dtype)) / args.accum
        if epoch == 1 and i == 1:
            loss = loss * float("inf")
        scaler.scale(loss).backward()
        if (i + 1) % args.accum == 0:
            scaler.unscale_(opt)
            torch.nn.utils.clip_grad_norm_(net.parameters(), max_norm=0.1)
            before = scaler.get_scale()
            scaler.step(opt)
            scaler.update()
            skipped += scaler.get_scale() < before
            opt.zero_grad()
    print(epoch, repr(loss.item()), scaler.get_scale(), skipped)
torch.save({"model": net.state_dict(), "optimizer": opt.state_dict(), "scaler": scaler.state_dict()}, "amp.pt")

half = make_model(16, 4, 2).to(torch.bfloat16)
opt = torch.optim.AdamW(half.parameters(), lr=1e-3)
for input, target in zip(data, targets):
    loss = nn.functional.mse_loss(half(input.bfloat16()).float(), target)
    opt.zero_grad()
    loss.backward()
    opt.step()
print("pure bfloat16", repr(loss.item()))
leave(net, opt, half, scaler.state_dict())
