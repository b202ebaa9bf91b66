import torch
import torch.nn as nn
import torch.nn.functional as F
from fingerprint import leave
from torch.func import functional_call, grad, grad_and_value, hessian, jacrev, jvp, stack_module_state, vmap

torch.manual_seed(44)


class SimpleCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.fc1 = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 5)

    def forward(self, x):
        return F.log_softmax(self.fc1(F.relu(self.conv1(x)).flatten(1)), dim=1)


model = SimpleCNN()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def compute_loss(params, buffers, sample, target):
    return F.nll_loss(functional_call(model, (params, buffers), (sample[None],)), target[None])


ft_compute_sample_grad = vmap(grad_and_value(compute_loss), in_dims=(None, None, 0, 0))
noise = torch.Generator().manual_seed(7)
for step in range(10):  # differentially private: clipped per sample, then noise
    x, y = torch.randn(12, 1, 8, 8), torch.randint(0, 5, (12,))
    params = {k: v.detach() for k, v in model.named_parameters()}
    buffers = {k: v.detach() for k, v in model.named_buffers()}
    grads, losses = ft_compute_sample_grad(params, buffers, x, y)
    norms = torch.stack([g.flatten(1).norm(dim=1) for g in grads.values()]).norm(dim=0)
    factor = (1.0 / (norms + 1e-6)).clamp(max=1.0)
    for name, p in model.named_parameters():
        g = torch.einsum("n,n...->...", factor, grads[name])
        p.grad = (g + 0.1 * torch.randn(g.shape, generator=noise)) / len(x)
    optimizer.step()
    optimizer.zero_grad()
    print(step, repr(losses.mean().item()), repr(norms.max().item()))

# An ensemble, trained all at once, functionally.
ensemble = [nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)) for _ in range(3)]
params, buffers = stack_module_state(ensemble)
base = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).to("meta")


def ensemble_loss(p, b, x, y):
    return F.mse_loss(functional_call(base, (p, b), (x,)), y)


x, y = torch.randn(20, 4), torch.randn(20, 1)
params = {k: v.detach() for k, v in params.items()}
for step in range(8):
    gradients = vmap(grad(ensemble_loss), in_dims=(0, 0, None, None))(params, buffers, x, y)
    params = {k: p - 0.1 * gradients[k] for k, p in params.items()}
    print("ensemble", [float(v) for v in vmap(ensemble_loss, (0, 0, None, None))(params, buffers, x, y)])
print("hessian", hessian(lambda v: ensemble[0](v).sum())(x[0]).norm().item())
print("jacobian", jacrev(ensemble[0])(x[:2]).norm().item(), jvp(ensemble[0], (x[0],), (x[1],))[1].item())
leave(model, params)
