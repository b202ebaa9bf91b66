"""Three steps on handwritten digits: a healthy run, the same with a bug, and the healthy one reproduced by its ID.

    make demo

Runs and their database stay in .demo/ of the current directory; running it again adds to them.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = str(ROOT / "examples" / "digits.py")
PLACE = ROOT / ".demo"
STORE = f"sqlite:///{PLACE}/mlflow.db"
TRACKER = str(Path(sys.executable).with_name("tracker"))


def say(text: str) -> None:
    """One headline, set off from what the steps print."""
    print(f"\n=== {text}\n", flush=True)


def train(*arguments: str) -> str:
    """Runs the example, whose last word on stdout is the run's ID; what the tracker says goes to the terminal."""
    print(f"$ python examples/digits.py {' '.join(arguments)}".rstrip(), flush=True)
    done = subprocess.run([sys.executable, SCRIPT, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"The training ended with exit code {done.returncode}; what it printed stands above.")
    return done.stdout.split()[-1]


def main() -> int:
    """Runs the three steps and says how to look at the result; 0 when all came out as they should."""
    began = time.monotonic()
    PLACE.mkdir(exist_ok=True)
    # One thread, so that the times are those of a small machine; the store and all files stay inside this folder.
    os.environ |= {
        "MLFLOW_TRACKING_URI": STORE,
        "TRACKER_HOME": str(PLACE / "home"),
        "TRACKER_LIVE": "1",
        "OMP_NUM_THREADS": "1",
    }

    say("1 of 4: a healthy training; the first one also makes the database")
    healthy = train()

    say("2 of 4: the same training, with inputs and labels shuffled separately; nobody told the tracker")
    train("--bug", "shuffled-apart")

    say("3 of 4: the first run once more, from what was stored, in an empty directory")
    into = PLACE / "reproduced"
    shutil.rmtree(into, ignore_errors=True)
    command = ["reproduce", healthy, "--yes", "--into", str(into)]
    print(f"$ tracker {' '.join(command[:3])} --into {into.relative_to(ROOT)}", flush=True)
    code = subprocess.run([TRACKER, *command], cwd=ROOT).returncode

    say(f"4 of 4: look at the three runs ({time.monotonic() - began:.0f} s so far)")
    print(f"{os.path.relpath(TRACKER, ROOT)} ui --tracking-uri sqlite:///.demo/mlflow.db")
    return code


if __name__ == "__main__":
    sys.exit(main())
