"""The coupling of two neurons as a function of their places: phi(q_j, q_i) = profile(metric(q_j - q_i))."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt

from dynsim._check import as_choice, as_number, describe, expect_keys, refusal

from ._expression import NAMES, parse
from ._formula import NUMPY, array_functions
from ._profiles import PROFILES

METRICS = ("l2", "l1")
SMALLEST = 1e-153  # of a parameter: its square and the inverse of that are numbers in float64


@dataclass(frozen=True)
class Kernel:
    """Coupling of two neurons as a function of their places.

    With rho = |q_j - q_i|_2 (metric "l2") or |q_j - q_i|_1 ("l1"), softened distance
    r = sqrt(rho^2 + softening^2) and c = scale, phi is one of the expressions in `PROFILES` or any other.

    An expression consists of r (the softened distance), c, eta = softening, length, pi, numbers, + - * / ** and the
    functions sqrt, exp, log, sin, cos, tan, sinh, cosh, tanh, arctan, erf, abs, sign, minimum and maximum. It is read,
    never executed; its gradient is derived exactly, and both are compiled as those of the built-in profiles are.

    Parameters
    ----------
    profile : str
        A name from `PROFILES`, or an expression.
    metric : {"l2", "l1"}
        Distance between two places.
    scale : float
        c, any finite number.
    softening : float
        eta >= 0, in units of the places. Without it the inverse profiles are infinite where two neurons meet.
        A neuron's effect on itself is left out exactly, by index, never by softening.
    length : float
        Length scale > 0 of gaussian and exponential, in units of the places.

    Raises
    ------
    ValueError, TypeError
        At construction, naming what was got and what is known.

    References
    ----------
    Pei & Wang, ICML 2023, PMLR 202:27521.

    Examples
    --------
    >>> import numpy as np
    >>> Kernel("inverse", scale=2.0).value(np.array([1.0, 4.0]))
    array([2. , 0.5])
    >>> Kernel("c * r * exp(-r / length)", length=2.0).value([0.0])
    array([0.])
    """

    profile: str = "inverse"
    metric: str = "l2"
    scale: float = 1.0
    softening: float = 0.0
    length: float = 1.0

    def __post_init__(self):
        if not isinstance(self.profile, str):
            raise refusal("kernel profile", describe(self.profile), _known(), error=TypeError)
        if self.profile not in PROFILES:
            if re.fullmatch(r"[A-Za-z][A-Za-z_-]+|\s*", self.profile) and self.profile not in NAMES:
                raise refusal("kernel profile", repr(self.profile), _known(), _near(self.profile))
            parse(self.profile)
        as_choice(self.metric, METRICS, "kernel metric")
        object.__setattr__(self, "scale", as_number(self.scale, "kernel scale"))
        object.__setattr__(self, "softening", as_number(self.softening, "kernel softening", minimum=0))
        object.__setattr__(self, "length", as_number(self.length, "kernel length", above=0))
        for name in ("scale", "softening", "length"):
            value = getattr(self, name)
            if value and not SMALLEST <= abs(value) <= 1 / SMALLEST:
                wanted = f"0 or a size of {SMALLEST:g} to {1 / SMALLEST:g}, whose square and inverse are numbers"
                raise refusal(f"kernel {name}", value, wanted)

    @property
    def expression(self) -> str:
        """The profile as an expression in r.

        Examples
        --------
        >>> Kernel("c / (1 + r)").expression
        'c / (1 + r)'
        """
        return PROFILES[self.profile][0] if self.profile in PROFILES else self.profile

    def value(self, distance: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return phi at metric distances rho (any shape, not yet softened), as NumPy float64.

        Examples
        --------
        >>> float(Kernel("linear", softening=3.0).value(4.0))
        5.0
        """
        r2 = np.square(np.asarray(distance, dtype=np.float64)) + self.softening**2
        phi, _ = array_functions(self, NUMPY)
        with np.errstate(all="ignore"):
            return phi(r2) + np.zeros_like(r2)

    def to_dict(self) -> dict:
        """Return the parameters as plain numbers and strings, for files.

        Examples
        --------
        >>> Kernel.from_dict(Kernel("linear", "l1").to_dict()) == Kernel("linear", "l1")
        True
        """
        return asdict(self)

    @classmethod
    def from_dict(cls, parameters: dict) -> Kernel:
        """Build a kernel from what `to_dict` returned; unknown keys raise ValueError.

        Examples
        --------
        >>> Kernel.from_dict({"profile": "gaussian"}).length
        1.0
        """
        expect_keys(parameters, list(cls.__dataclass_fields__), "kernel")
        return cls(**parameters)


def _known():
    return f"one of {', '.join(PROFILES)}, or an expression in r such as 'c / (1 + r)'"


def _near(name):
    near = get_close_matches(name, PROFILES, 1, 0.5)
    return f"perhaps {near[0]!r} is meant" if near else ""


def _add_table():
    """Put the built-in profiles into the documentation of `Kernel`, above its parameters."""
    width = max(map(len, PROFILES))
    lines = [f"        {name:{width}}  {expression}  ({note})" for name, (expression, note) in PROFILES.items()]
    text, start = Kernel.__doc__ or "", "    Parameters\n"
    Kernel.__doc__ = text.replace(start, "    The built-in profiles::\n\n" + "\n".join(lines) + "\n\n" + start, 1)


_add_table()
