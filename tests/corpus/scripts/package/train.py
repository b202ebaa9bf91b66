import pickle
import sys
from pathlib import Path

import click
import torch
from fingerprint import leave

from .models.mlp import MLP


class Metric:
    def __init__(self):
        self.total = self.count = 0

    def update(self, value):
        self.total += value
        self.count += 1


def read(path):
    """A very small reader of YAML."""
    lines = (line.split(": ", 1) for line in Path(path).read_text().splitlines())
    return {key: eval(value) for key, value in lines}


@click.command()
@click.option("--config", default=str(Path(__file__).with_name("config.yaml")), type=click.Path(exists=True))
@click.option("--lr", type=float, default=None, help="Overrides the file.")
@click.option("--verbose/--quiet", default=True)
def main(config, lr, verbose):
    """Trains a small network."""
    settings = read(config)
    settings["lr"] = lr or settings["lr"]
    torch.manual_seed(0)
    model = MLP(settings["sizes"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings["lr"], weight_decay=settings["weight_decay"])
    metric = Metric()
    for step in range(settings["steps"]):
        x = torch.randn(16, 4)
        loss = torch.nn.functional.cross_entropy(model(x), x[:, :3].argmin(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        metric.update(loss.item())
        if verbose and step % 5 == 0:
            click.echo(f"{step} {loss.item()!r}")
    with open("metric.pkl", "wb") as f:
        pickle.dump(metric, f)
    print(__name__, __package__, sys.argv[1:], sys.path[0] == str(Path.cwd()), type(pickle.loads(pickle.dumps(metric))))
    leave(model, optimizer, settings)


if __name__ == "__main__":
    main()
