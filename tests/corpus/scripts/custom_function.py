"""Own autograd functions, and quantisation-aware training by them and by torch."""

import warnings

import torch
from fingerprint import leave
from torch import nn
from torch.autograd import Function, gradcheck
from torch.autograd.function import once_differentiable

warnings.filterwarnings("ignore")


class Round(Function):
    @staticmethod
    def forward(ctx, x, bits):
        scale = x.abs().max() / (2 ** (bits - 1) - 1)
        ctx.save_for_backward(x, scale)
        return torch.round(x / scale) * scale

    @staticmethod
    def backward(ctx, grad):
        x, scale = ctx.saved_tensors
        return grad * (x.abs() <= 7 * scale), None


class LinearFunction(Function):
    @staticmethod
    def forward(input, weight, bias):
        return input.mm(weight.t()) + bias

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output):
        input, weight = ctx.saved_tensors
        return grad_output.mm(weight), grad_output.t().mm(input), grad_output.sum(0)


class CrossEntropy(Function):
    """A loss of one's own: nothing in the graph tells what it is."""

    @staticmethod
    def forward(ctx, logits, target):
        p = logits.softmax(1)
        ctx.save_for_backward(p, target)
        return -p.gather(1, target[:, None]).log().mean()

    @staticmethod
    def backward(ctx, grad):
        p, target = ctx.saved_tensors
        return grad * (p - nn.functional.one_hot(target, p.size(1))) / len(p), None


class Quantized(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(n_out, n_in) * 0.3), nn.Parameter(torch.zeros(n_out))

    def forward(self, x):
        return LinearFunction.apply(x, Round.apply(self.weight, 4), self.bias)


torch.manual_seed(19)
tensors = [torch.randn(3, 4, dtype=torch.double, requires_grad=True), torch.randn(2, 4, dtype=torch.double)]
print("gradcheck", gradcheck(LinearFunction.apply, (*tensors, torch.zeros(2, dtype=torch.double)), eps=1e-6))
net = nn.Sequential(Quantized(6, 12), nn.Hardtanh(), Quantized(12, 3))
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(12):
    x = torch.randn(16, 6)
    loss = CrossEntropy.apply(net(x), x[:, :3].argmax(1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(step, repr(loss.item()))

from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver  # noqa: E402

fake = [FakeQuantize(MovingAverageMinMaxObserver, quant_min=0, quant_max=255) for _ in range(2)]
qat = nn.Sequential(nn.Linear(6, 8), fake[0], nn.ReLU(), fake[1], nn.Linear(8, 3))
optimizer = torch.optim.AdamW(qat.parameters(), 1e-2)
for step in range(12):
    x = torch.randn(16, 6)
    loss = nn.functional.cross_entropy(qat(x), x[:, :3].argmax(1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step == 8:
        for one in fake:
            one.disable_observer()
print("fake quant", repr(loss.item()), [float(one.scale) for one in fake])
leave(net, qat)
