"""One training of `histories` as a script: `python -m tests.corpus.recipe "mlp, Adam" --seed 3`."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.corpus.histories import FAULTY, HEALTHY
from tests.corpus.tasks import make_checkpoints


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=[*HEALTHY, *FAULTY])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if "checkpoint" in args.name or "fine-tuned" in args.name:
        make_checkpoints()
    train = HEALTHY[args.name] if args.name in HEALTHY else FAULTY[args.name][0]
    train(args.seed, lambda **metrics: print(metrics))


if __name__ == "__main__":
    main()
