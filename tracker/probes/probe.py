"""What a probe is: one thing that is measured during a training, and the moments at which it may do so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from .nested import tensors_in

if TYPE_CHECKING:
    import torch

    from ..rules.engine.signals import Signal
    from .training import Training


class Tap(NamedTuple):
    """A function of torch, or of a library, whose calls a probe hears of; it stays as it is for its callers.

    `before` and `after` name methods of the probe: `before(args, kwargs)` is called ahead of the function,
    `after(args, kwargs, result)` behind it, when it did not raise. A call inside a compiled function is not heard of.
    """

    where: str
    """Module, and class if any: `torch.nn.utils.clip_grad`, `torch.optim.optimizer:Optimizer`. A module that is not
    loaded yet is tapped when it is; one that does not have the name is passed over."""
    name: str
    """The function. One that is called by name inside its own module is heard of however early users import it."""
    before: str = ""
    after: str = ""
    close_only: bool = False
    """Only on steps that are looked at closely."""


class Pass(NamedTuple):
    """One call of a module that no other module called: a forward pass of the whole model."""

    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    has_grad: bool
    """Whether a graph was recorded: a pass without one is evaluation."""
    in_training_mode: bool

    def given(self) -> list[tuple[str, torch.Tensor]]:
        """Every tensor it was given, by the parameter of `forward`: `x`, `batch/mask`; by its place where unknown."""
        code = getattr(getattr(type(self.module), "forward", None), "__code__", None)
        names = code.co_varnames[1 : code.co_argcount] if code is not None else ()
        found = []
        for index, value in enumerate(self.args):
            found += tensors_in(value, names[index] if index < len(names) else str(index))
        for key, value in self.kwargs.items():
            found += tensors_in(value, key)
        return found


class Probe:
    """One thing that is measured. A run makes one of each class in `registry.PROBES` when it begins to observe torch.

    A step, seen by a probe, in this order::

        begin_close                      the step that begins now is looked at closely
          batch(iterator, batch)         a data loader gave a batch
          root_forward(call)             the whole model was called
          backward(tensor, loss)         `tensor` is about to be sent backward
          after_backward                 it was: its gradients are there
          before_step(optimizer, owned)  an optimizer is about to step
          after_step(optimizer, owned)   it has stepped
        end_step                         all optimizers have stepped (`training.step` is still this step)
        end_close                        the step that was looked at closely is over
    adopted                            a further optimizer belongs to the run, right before its first step
    end_epoch                            an epoch is over; its readings are written now
    finish                               the run is over

    Moments between `begin_close` and `end_close` are told on closely watched steps only, unless the class names them in
    `every_step`; what is named there must cost no more than a few microseconds, and looks to it itself that no mode of
    the user's hears it. With evaluation between two steps,
    `begin_close` comes before it: right after the step before.

    A fault in a method switches this probe off, is recorded once, and reaches nobody else. A probe keeps no tensor of
    the user's alive beyond the step, writes to none, draws no random number, and never waits for a device: numbers
    that are on one go through `training.measure`.
    """

    name: ClassVar[str]
    """What the part is called where its fault is recorded."""
    signals: ClassVar[tuple[Signal, ...]] = ()
    """Signals of its own; those of the vocabulary need not be named."""
    every_step: ClassVar[frozenset[str]] = frozenset()
    taps: ClassVar[tuple[Tap, ...]] = ()
    is_unheard: ClassVar[bool] = False
    """Whether it runs no operation of torch's that a mode of the user's would hear: it is told under such modes too."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.journal = training.journal

    def begin_close(self) -> None:
        """A step that is looked at closely begins."""

    def batch(self, iterator: Any, batch: Any) -> None:
        """A data loader gave `batch`; `iterator` is its pass over the data."""

    def root_forward(self, call: Pass) -> None:
        """The whole model was called: on closely watched steps, and in evaluation as far as the budget goes."""

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        """`tensor`, with one element, is about to be sent backward; `loss` is the same before a gradient scaler."""

    def after_backward(self) -> None:
        """The gradients of a backward have been accumulated."""

    def before_step(self, optimizer: Any, owned: Any) -> None:
        """An optimizer is about to step; `owned` (see `parameters.Owned`) names its parameters."""

    def after_step(self, optimizer: Any, owned: Any) -> None:
        """The optimizer has stepped."""

    def end_step(self) -> None:
        """Every optimizer that takes part in the step has stepped."""

    def end_close(self) -> None:
        """The step that was looked at closely is over, whether it was completed or not."""

    def adopted(self) -> None:
        """A further optimizer is about to make its first step, and belongs to the run from now on."""

    def begin_another(self) -> None:
        """Another model is trained from here on: what is read on change only is to be read again."""

    def end_epoch(self) -> None:
        """An epoch is over: readings about it are written at `training.last_step`."""

    def finish(self) -> None:
        """The run is over. Told once, after the last `end_epoch`."""

    def release(self) -> None:
        """Gives back whatever was put into torch: the run is over, or the probe failed."""


MOMENTS = (
    "begin_close", "batch", "root_forward", "backward", "after_backward", "before_step", "after_step", "end_step",
    "end_close",
)  # fmt: skip
"""The moments of a step, in their order."""


def moments_of(probe: Probe) -> list[str]:
    """The moments of a step that the probe has a method of its own for."""
    return [moment for moment in MOMENTS if getattr(type(probe), moment) is not getattr(Probe, moment)]
