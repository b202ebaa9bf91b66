import os

import torch
import torch.distributed as dist
from fingerprint import fingerprint
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class Trainer:
    def __init__(self, snapshot_path="snapshot.pt"):
        self.local_rank, self.global_rank = int(os.environ["LOCAL_RANK"]), int(os.environ["RANK"])
        self.model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))
        self.epochs_run, self.snapshot_path = 0, snapshot_path
        self.model = DistributedDataParallel(self.model)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.losses = []

    def _save_snapshot(self, epoch):
        snapshot = {"MODEL_STATE": self.model.module.state_dict(), "EPOCHS_RUN": epoch}
        torch.save(snapshot, self.snapshot_path)

    def _run_epoch(self, epoch):
        generator = torch.Generator().manual_seed(100 * epoch + self.global_rank)
        for micro in range(6):
            x = torch.randn(8, 6, generator=generator)
            y = x[:, :3].argmax(1)
            sync = self.model.no_sync() if micro % 2 == 0 else torch.enable_grad()
            with sync:
                loss = nn.functional.cross_entropy(self.model(x), y) / 2
                loss.backward()
            if micro % 2 == 1:
                self.optimizer.step()
                self.optimizer.zero_grad()
            self.losses.append(loss.item())

    def train(self, max_epochs):
        for epoch in range(self.epochs_run, max_epochs):
            self._run_epoch(epoch)
            if self.global_rank == 0:
                self._save_snapshot(epoch)


def main():
    dist.init_process_group(backend="gloo")
    torch.manual_seed(1)
    trainer = Trainer()
    trainer.train(4)
    lines = [None] * dist.get_world_size()
    dist.all_gather_object(lines, (trainer.global_rank, trainer.losses, fingerprint(trainer.model, trainer.optimizer)))
    if trainer.global_rank == 0:
        for line in lines:
            print(*line)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
