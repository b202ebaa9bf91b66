"""When a difference is real, and not what rounding makes of the same computation done in another order.

Everything is computed twice, in the models' own precision and in float64. What comes from rounding shrinks there by
nine orders of magnitude; a mistake stays as large as it was. A mistake also shows in the precision that is used: what
differs in float64 only (a table of sines that one model keeps in float32, and the other computes) changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .sizes import Size, Tolerance

ROUNDED = 3e-7
"""Relative difference in float64 up to which a layer may have rounded to float32 inside (`x.float()` in an RMSNorm):
two and a half times the distance of 1 to the next float32."""
DOUBLE = 1e-9
"""The same, for models that are in float64 themselves: 4 million times the distance of 1 to the next number."""
OWN = 10.0
"""Where float64 cannot be used: rounding errors of one layer, in units of the distance of 1 to the next number."""
NOISE = 10.0
"""And times that the answer to a change of all weights by half that distance is exceeded."""
_VANISHING = 1e-12
"""Share of what surrounds it, below which a number is zero plus rounding: the gradient of the bias of attention keys
is zero exactly, and what is left of it differs by a hundred percent."""
_VANISHING_OWN = 1e-5
_VANISHING_MISSING = 1e-7


@dataclass(frozen=True)
class Judge:
    """Decides whether a difference is real."""

    eps: float
    """Distance of 1 to the next number of the precision that the models are in, the coarser of the two."""
    has_double: bool = True
    """Whether both models were run in float64 as well."""
    given: Tolerance | None = None
    """The user's own: any element beyond it is a real difference, and float64 is not looked at."""

    @property
    def tolerance(self) -> Tolerance:
        """For counting elements, in the precision of the models."""
        return self.given or Tolerance(of_rms=OWN * self.eps)

    @property
    def exact(self) -> float:
        """Relative difference in float64 above which one may be real."""
        return DOUBLE if self.eps < 1e-12 else ROUNDED

    @property
    def says(self) -> str:
        """What decides, in words."""
        if self.given is not None:
            return f"real: any element beyond |b - a| <= {self.given.atol:g} + {self.given.rtol:g} |a|"
        if self.has_double:
            return f"real: more than {self.exact:g} of the rms in float64 too; what shrinks there is rounding"
        return f"real: more than {OWN * self.eps:.1g} of the rms, and {NOISE:g} times what rounded weights make of it"

    def is_real(self, own: Size | None, double: Size | None, around: float = 0.0, noise: float = 0.0) -> bool:
        """True for a difference that rounding does not explain.

        `own` is measured in the models' precision, `double` in float64; `around` is the root mean square of what the
        numbers stand among, and `noise` the relative difference that rounded weights make.
        """
        if own is None:
            return False
        if own.kind in ("shape", "nonfinite") or (double is not None and double.kind == "shape"):
            return True
        if self.given is not None:
            return own.share > 0 or own.kind == "missing"
        if own.kind == "missing":
            return own.rms > _VANISHING_MISSING * around
        if self.has_double:
            if double is None or double.kind == "missing":
                return False
            if double.rms <= _VANISHING * around:
                return False
            return double.relative > self.exact and own.relative > double.relative / 2
        if own.rms <= max(_VANISHING_OWN, self.eps) * around:
            return False
        return own.relative > max(OWN * self.eps, NOISE * noise)


def largest(sizes: list[Size | None]) -> float:
    """Greatest root mean square of A among these; 0 without any."""
    return max((size.scale for size in sizes if size is not None and math.isfinite(size.scale)), default=0.0)
