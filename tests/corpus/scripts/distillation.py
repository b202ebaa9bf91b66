"""A teacher is trained, then frozen; a student learns from its soft targets and from the labels."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from fingerprint import leave
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(9)
digits = load_digits()
x, y = torch.tensor(digits.data / 16).float(), torch.tensor(digits.target)
loader = DataLoader(TensorDataset(x[:640], y[:640]), batch_size=64, shuffle=True)
held_out = DataLoader(TensorDataset(x[640:], y[640:]), batch_size=256)


def mlp(width):
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


def accuracy(model):
    was_training = model.training
    model.eval()
    with torch.no_grad():
        right = sum((model(a).argmax(-1) == b).sum().item() for a, b in held_out)
    model.train(was_training)
    return right / len(held_out.dataset)


teacher, student = mlp(48), mlp(8)
optimizer = torch.optim.Adam(teacher.parameters(), 3e-3)
for epoch in range(4):
    for a, b in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(teacher(a), b)
        loss.backward()
        optimizer.step()
    print("teacher", epoch, repr(loss.item()), accuracy(teacher))
teacher.eval().requires_grad_(False)

T, alpha = 4.0, 0.7
soft, hard = nn.KLDivLoss(reduction="batchmean"), nn.CrossEntropyLoss()
optimizer = torch.optim.RMSprop(student.parameters(), 3e-3)
for epoch in range(4):
    running = {"soft": 0.0, "hard": 0.0}
    for a, b in loader:
        with torch.no_grad():
            teacher_logits = teacher(a)
        logits = student(a)
        soft_loss = soft(F.log_softmax(logits / T, dim=1), F.softmax(teacher_logits / T, dim=1)) * T * T
        hard_loss = hard(logits, b)
        loss = alpha * soft_loss + (1 - alpha) * hard_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        running["soft"] += soft_loss.item()
        running["hard"] += hard_loss.item()
    print("student", epoch, {k: repr(v / len(loader)) for k, v in running.items()}, accuracy(student))
leave(teacher, student, optimizer)
