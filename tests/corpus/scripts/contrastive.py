import torch
import torch.nn as nn
import torch.nn.functional as F
from fingerprint import leave

torch.manual_seed(31)


class NTXent(nn.Module):
    def __init__(self, temperature=0.5):
        super().__init__()
        self.temperature = temperature

    def forward(self, z1, z2):
        n = z1.size(0)
        z = F.normalize(torch.cat([z1, z2]), dim=1)
        sim = z @ z.T / self.temperature
        sim.fill_diagonal_(float("-inf"))
        targets = torch.cat([torch.arange(n, 2 * n), torch.arange(n)])
        return F.cross_entropy(sim, targets)


class MoCo(nn.Module):
    """Momentum encoder and queue: buffers that are written in forward."""

    def __init__(self, dim=8, K=32, m=0.9, T=0.2):
        super().__init__()
        self.m, self.T = m, T
        self.encoder_q = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, dim))
        self.encoder_k = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, dim))
        for q, k in zip(self.encoder_q.parameters(), self.encoder_k.parameters()):
            k.data.copy_(q.data)
            k.requires_grad = False
        self.register_buffer("queue", F.normalize(torch.randn(dim, K), dim=0))
        self.register_buffer("ptr", torch.zeros(1, dtype=torch.long))

    def forward(self, im_q, im_k):
        q = F.normalize(self.encoder_q(im_q), dim=1)
        with torch.no_grad():
            for a, b in zip(self.encoder_q.parameters(), self.encoder_k.parameters()):
                b.data = b.data * self.m + a.data * (1.0 - self.m)
            shuffle = torch.randperm(len(im_k))
            k = F.normalize(self.encoder_k(im_k[shuffle]), dim=1)[shuffle.argsort()]
        l_pos = torch.einsum("nc,nc->n", [q, k]).unsqueeze(-1)
        l_neg = torch.einsum("nc,ck->nk", [q, self.queue.clone().detach()])
        logits = torch.cat([l_pos, l_neg], dim=1) / self.T
        ptr = int(self.ptr)
        self.queue[:, ptr : ptr + len(k)] = k.T
        self.ptr[0] = (ptr + len(k)) % self.queue.shape[1]
        return logits, torch.zeros(len(q), dtype=torch.long)


def augment(x):
    return x * (torch.rand_like(x) > 0.2) + 0.1 * torch.randn_like(x)


encoder = nn.Sequential(nn.Linear(12, 24), nn.ReLU(inplace=True), nn.Linear(24, 8))
criterion, data = NTXent(), torch.randn(128, 12)
optimizer = torch.optim.Adam(encoder.parameters(), lr=3e-3, weight_decay=1e-4)
for epoch in range(3):
    for x in data[torch.randperm(128)].split(32):
        loss = criterion(encoder(augment(x)), encoder(augment(x)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("simclr", epoch, repr(loss.item()))
moco = MoCo()
optimizer = torch.optim.SGD((p for p in moco.parameters() if p.requires_grad), 0.03, momentum=0.9)
for epoch in range(3):
    for x in data[torch.randperm(128)].split(16):
        logits, labels = moco(augment(x), augment(x))
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("moco", epoch, repr(loss.item()), (logits.argmax(1) == 0).float().mean().item())
leave(encoder, moco)
