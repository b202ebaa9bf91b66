"""How far a command has come, on stderr, and what is left when it is interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .output import above, clean, is_terminal, progress


class Interrupted(BaseException):
    """Ctrl-C, with what is left to do. No `KeyboardInterrupt`: typer makes an exit code of that, without its words."""


@contextmanager
def counted(total: int, doing: str = "") -> Iterator[Callable[[str], None]]:
    """A bar on a terminal, a line for each thing elsewhere; yields what is called with the name of each, ahead of it.

    `doing` stands before the names. What is printed meanwhile stands above the bar.
    """
    done = 0
    lead = f"{doing} " if doing else ""
    if total < 1:
        yield lambda name: None
        return
    if not is_terminal():

        def say(name: str) -> None:
            nonlocal done
            done += 1
            progress(f"[{done}/{total}] {lead}{name}" if total > 1 else f"{lead}{name}")

        yield say
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    shown = Console(stderr=True, highlight=False, markup=False)
    with above(shown), Progress(*columns, console=shown, redirect_stdout=False, transient=True) as bar:
        task = bar.add_task("", total=total)

        def show(name: str) -> None:
            nonlocal done
            bar.update(task, completed=done, description=clean(f"{lead}{name}").replace("\n", " ")[:60])
            done += 1

        yield show
        bar.update(task, completed=total)


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Something whose length nobody knows: on a terminal it is shown with the time it takes, elsewhere said once.

    Nothing that writes to the terminal by itself may run meanwhile.
    """
    if not is_terminal():
        progress(text)
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    shown = Console(stderr=True, highlight=False, markup=False)
    with above(shown), Progress(*columns, console=shown, redirect_stdout=False, transient=True) as spinner:
        spinner.add_task(clean(text), total=None)
        yield


@contextmanager
def leaving(what: str | Callable[[], str]) -> Iterator[None]:
    """Has Ctrl-C within the block tell what is left, and what to call to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(what if isinstance(what, str) else what()) from None
