"""Every optimizer of torch, and two of our own, each on the same small problem; the optimizer is made in the loop."""

import warnings

import torch
from fingerprint import leave
from torch import nn, optim
from torch.nn.functional import cross_entropy


class SignSGD(optim.Optimizer):
    def __init__(self, params, lr=0.01, momentum=0.9):
        if lr < 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        super().__init__(params, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                buf = self.state[p].setdefault("momentum_buffer", torch.zeros_like(p))
                buf.mul_(group["momentum"]).add_(p.grad)
                p.add_(buf.sign(), alpha=-group["lr"])
        return loss


class Lookahead(optim.Optimizer):
    """Wraps another optimizer without calling the constructor of the base class, as many a snippet does."""

    def __init__(self, base, k=5, alpha=0.5):
        self.optimizer, self.k, self.alpha, self.counter = base, k, alpha, 0
        self.param_groups, self.state, self.defaults = base.param_groups, base.state, base.defaults
        self.slow = [[p.detach().clone() for p in g["params"]] for g in self.param_groups]

    def zero_grad(self, set_to_none=True):
        self.optimizer.zero_grad(set_to_none)

    def step(self, closure=None):
        loss = self.optimizer.step(closure)
        self.counter += 1
        if self.counter % self.k == 0:
            for group, slow in zip(self.param_groups, self.slow):
                for p, q in zip(group["params"], slow):
                    q.add_(p.data - q, alpha=self.alpha)
                    p.data.copy_(q)
        return loss


makers = {
    "SGD": lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "SGD foreach": lambda p: optim.SGD(p, 0.1, foreach=True, maximize=False),
    "Adam": lambda p: optim.Adam(p, 1e-2),
    "Adam fused": lambda p: optim.Adam(p, 1e-2, fused=True),
    "Adam differentiable lr tensor": lambda p: optim.Adam(p, torch.tensor(1e-2), foreach=False),
    "AdamW": lambda p: optim.AdamW(p, 1e-2, amsgrad=True),
    "Adamax": lambda p: optim.Adamax(p, 1e-2),
    "NAdam": lambda p: optim.NAdam(p, 1e-2),
    "RAdam": lambda p: optim.RAdam(p, 1e-2),
    "Adagrad": lambda p: optim.Adagrad(p, 1e-2),
    "Adadelta": lambda p: optim.Adadelta(p),
    "Adafactor": lambda p: optim.Adafactor(p),
    "RMSprop": lambda p: optim.RMSprop(p, 1e-2, centered=True),
    "Rprop": lambda p: optim.Rprop(p, 1e-2),
    "ASGD": lambda p: optim.ASGD(p, 1e-2),
    "LBFGS": lambda p: optim.LBFGS(p, 0.1, max_iter=3, line_search_fn="strong_wolfe"),
    "SignSGD": lambda p: SignSGD(p),
    "Lookahead": lambda p: Lookahead(optim.Adam(p, 1e-2)),
}
warnings.filterwarnings("ignore", category=UserWarning)
x, models = None, {}
for name, make in makers.items():
    torch.manual_seed(0)
    x, y = torch.randn(32, 5), torch.randint(0, 3, (32,))
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = make(model.parameters())
    for _ in range(6):

        def closure():
            optimizer.zero_grad()
            loss = cross_entropy(model(x), y)
            loss.backward()
            return loss

        loss = optimizer.step(closure)
    print(f"{name:32} {float(loss)!r}")
    models[name] = model.state_dict()

table = nn.Embedding(50, 4, sparse=True)
head = nn.Linear(4, 2)
sparse, dense = optim.SparseAdam(list(table.parameters()), 0.05), optim.SGD(head.parameters(), 0.1)
for _ in range(8):
    words, labels = torch.randint(0, 50, (16, 3)), torch.randint(0, 2, (16,))
    loss = cross_entropy(head(table(words).mean(1)), labels)
    sparse.zero_grad()
    dense.zero_grad()
    loss.backward()
    sparse.step()
    dense.step()
    print("sparse", repr(loss.item()), table.weight.grad.is_sparse)
leave(models, table, head)
