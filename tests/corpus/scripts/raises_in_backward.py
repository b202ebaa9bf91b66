import torch
from fingerprint import leave
from torch import nn


class Fragile(torch.autograd.Function):
    countdown = 5

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        Fragile.countdown -= 1
        if Fragile.countdown == 0:
            raise RuntimeError("the gradient went through the floor")
        return grad


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 2)

    def forward(self, x):
        return Fragile.apply(self.inner(x))


def main():
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.Adam(model.parameters())
    for step in range(10):
        x, y = torch.randn(6, 4), torch.randint(0, 2, (6,))
        loss = nn.functional.cross_entropy(model(x), y)
        print(step, repr(loss.item()), flush=True)
        leave(model)
        optimizer.zero_grad()
        try:
            loss.backward()
        except RuntimeError as error:
            raise SystemError(f"training broke at step {step}") from error
        optimizer.step()


main()
