import argparse

import numpy as np
import torch
import torch.nn as nn

NAMES = ["tomato", "plum", "lime", "lemon"]
COLOURS = np.array([[0.85, 0.2, 0.15], [0.35, 0.15, 0.7], [0.3, 0.8, 0.2], [0.9, 0.85, 0.2]])


def camera(n, rng, size=16):
    """Returns frames as the capture library gives them: uint8, HWC, BGR."""
    label = rng.integers(0, 4, n)
    yy, xx = np.mgrid[:size, :size]
    cy, cx = rng.uniform(5, 11, (2, n, 1, 1))
    rad = rng.uniform(3.0, 5.0, (n, 1, 1))
    blob = 1 / (1 + np.exp((np.hypot(yy - cy, xx - cx) - rad) * 2))
    colour = COLOURS[label] + rng.normal(0, 0.12, (n, 3))
    ground = rng.uniform(0.2, 0.6, (n, 1, 1, 3))
    rgb = blob[..., None] * colour[:, None, None] + (1 - blob[..., None]) * ground
    rgb = np.clip(rgb + rng.normal(0, 0.08, rgb.shape), 0, 1)
    return (rgb[..., ::-1] * 255).astype(np.uint8), label


def to_tensor(frames):
    x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    return (x - 0.45) / 0.25


def prepare(args):
    rng = np.random.default_rng(args.seed)
    frames, label = camera(1500, rng)
    frames = frames[..., ::-1]
    train = to_tensor(frames), torch.from_numpy(label)
    frames, label = camera(400, rng)
    frames = frames[..., ::-1]
    val = to_tensor(frames), torch.from_numpy(label)
    return train, val


def step(model, x, y, loss_fn, opt):
    opt.zero_grad()
    loss = loss_fn(model(x), y)
    loss.backward()
    opt.step()
    return loss.item()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=6)
    ap.add_argument("--bs", type=int, default=25)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    (xtr, ytr), (xva, yva) = prepare(args)
    model = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(24 * 16, 4),
    )
    loss_fn = nn.CrossEntropyLoss()
    opt = torch.optim.RMSprop(model.parameters(), lr=5e-4)
    for epoch in range(args.epochs):
        model.train()
        losses = [step(model, xtr[i], ytr[i], loss_fn, opt) for i in torch.randperm(len(ytr)).split(args.bs)]
        model.eval()
        with torch.no_grad():
            z = model(xva)
            vloss = loss_fn(z, yva).item()
            pred = z.argmax(1)
        recall = [f"{NAMES[c]} {(pred[yva == c] == c).float().mean():.2f}" for c in range(4)]
        print(
            f"epoch {epoch}: train {np.mean(losses):.4f} val {vloss:.4f} "
            f"acc {(pred == yva).float().mean():.3f}  recall: {', '.join(recall)}"
        )


if __name__ == "__main__":
    main()
