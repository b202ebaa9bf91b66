import torch
import torch.nn as nn
import torch.nn.functional as F
from fingerprint import leave
from torch.optim import SGD, lr_scheduler

torch.manual_seed(5)
EPOCHS, BATCHES = 6, 3
x, y = torch.randn(BATCHES, 16, 4), torch.randn(BATCHES, 16, 1)
per_batch = {
    "onecycle": lambda o: lr_scheduler.OneCycleLR(o, 0.1, epochs=EPOCHS, steps_per_epoch=BATCHES),
    "cyclic": lambda o: lr_scheduler.CyclicLR(o, 0.001, 0.1, step_size_up=4, cycle_momentum=True),
}
per_epoch = {
    "step": lambda o: lr_scheduler.StepLR(o, 2),
    "multistep": lambda o: lr_scheduler.MultiStepLR(o, [2, 4]),
    "constant": lambda o: lr_scheduler.ConstantLR(o),
    "linear": lambda o: lr_scheduler.LinearLR(o, total_iters=4),
    "exponential": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS),
    "restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2, 2),
    "polynomial": lambda o: lr_scheduler.PolynomialLR(o, EPOCHS, power=2),
    "multiplicative": lambda o: lr_scheduler.MultiplicativeLR(o, lambda epoch: 0.95),
    "lambda": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 0.8**epoch),
    "sequential": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o, 0.1, 2), lr_scheduler.ExponentialLR(o, 0.9)], milestones=[2]
    ),
    "chained": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o, 0.1, 2), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=0, threshold=0.5),
}


class WarmUp(lr_scheduler.LRScheduler):
    def __init__(self, optimizer, steps):
        self.steps = steps
        super().__init__(optimizer)

    def get_lr(self):
        return [base * min(1.0, (self.last_epoch + 1) / self.steps) for base in self.base_lrs]


per_batch["own"] = lambda o: WarmUp(o, 6)
for name, make in {**per_batch, **per_epoch}.items():
    model = nn.Linear(4, 1)
    optimizer = SGD(
        [{"params": [model.weight]}, {"params": [model.bias], "lr": 0.02}], lr=0.05, momentum=0.9, weight_decay=1e-4
    )
    scheduler = make(optimizer)
    rates = []
    for _epoch in range(EPOCHS):
        total = 0.0
        for i in range(BATCHES):
            optimizer.zero_grad()
            loss = F.mse_loss(model(x[i]), y[i])
            loss.backward()
            optimizer.step()
            total += loss.item()
            if name in per_batch:
                scheduler.step()
        if name == "plateau":
            scheduler.step(total)
        elif name in per_epoch:
            scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
    print(name, repr(total), [float(f"{rate:.12g}") for rate in rates])
    leave(model, optimizer, sorted(k for k in scheduler.state_dict() if not k.startswith("_")))
