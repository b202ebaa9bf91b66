import asyncio
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import torch
from fingerprint import leave
from torch import nn

torch.manual_seed(0)


def train(seed, steps=12):
    generator = torch.Generator().manual_seed(seed)
    model = nn.utils.skip_init(nn.Linear, 4, 2)  # threads would race for the global generator
    with torch.no_grad():
        model.weight.copy_(torch.randn(2, 4, generator=generator))
        model.bias.zero_()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    losses = []
    for _ in range(steps):
        x = torch.randn(8, 4, generator=generator)
        loss = nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model.state_dict(), losses


results = {}
threads = [threading.Thread(target=lambda s=s: results.__setitem__(s, train(s)), name=f"trainer {s}") for s in (1, 2)]
for t in threads:
    t.start()
for t in threads:
    t.join()
for seed in sorted(results):
    print("thread", seed, [repr(v) for v in results[seed][1][::4]])
with ThreadPoolExecutor(2) as pool:
    for seed, (state, losses) in enumerate(pool.map(train, range(3, 6))):
        print("pool", seed, repr(losses[-1]))
        results[10 + seed] = (state, losses)


def producer(q):
    generator = torch.Generator().manual_seed(9)
    for _ in range(10):
        q.put(torch.randn(8, 4, generator=generator))
    q.put(None)


q = queue.Queue(maxsize=2)
threading.Thread(target=producer, args=(q,), daemon=True).start()
model = nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters(), 1e-2)
while (x := q.get()) is not None:
    loss = (model(x).squeeze() - x.sum(1)).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("queue", repr(loss.item()))


async def main():
    async def one(seed):
        await asyncio.sleep(0)
        return await asyncio.to_thread(train, seed, 4)

    for state, losses in [await one(20), await one(21)]:
        print("async", repr(losses[-1]))
        results[len(results)] = (state, losses)


asyncio.run(main())
failed = []
threading.excepthook = lambda args: failed.append(str(args.exc_value))
t = threading.Thread(target=lambda: nn.Linear(2, 2)(torch.zeros(3)).backward())
t.start()
t.join()
print("failed", failed, threading.active_count())
leave([results[key] for key in sorted(results)], model)
