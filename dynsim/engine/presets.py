"""Ready-made systems to begin with."""

from __future__ import annotations

import numpy as np

from ..kernels import Kernel, as_count
from ._echo import echo_gain
from ._operators import Operators
from ._system import System

PRESETS = {
    "pair": "two neurons that circle and push each other onto an orbit; delay 0",
    "cluster": "60 neurons whose saturating signals pull them together into clusters; delay 0.1",
    "pulse": "a layered network that passes a pulse on, one layer per delay of 1",
    "stable": "a delayed field with echo gain 0.8: it settles",
    "echo": "a delayed field with echo gain 3: it diverges, and the message says why",
}


def preset(name, seed=0):
    """Return a ready-made (system, span, options); options go to `solve` as keywords.

    Parameters
    ----------
    name : str
        One of PRESETS.
    seed : int
        Of the random places.

    Raises
    ------
    ValueError
        If there is no preset of this name.

    Examples
    --------
    >>> from dynsim.engine import solve
    >>> from dynsim.engine.presets import preset
    >>> system, span, options = preset("pair", seed=1)
    >>> solve(system, span, **options).success
    True
    """
    if not isinstance(name, str) or name not in PRESETS:
        raise ValueError(f"preset: got {name!r}; expected one of {', '.join(PRESETS)}.")
    generator = np.random.default_rng(as_count(seed, "seed", minimum=0))
    return _MAKERS[name](generator)


def _pair(generator):
    # q' = F q - R with R_i = q_j / r: opposite neurons at radius rho obey rho' = -0.2 rho + 1/2, an orbit of 2.5.
    turn = [[-0.2, -1.0], [1.0, -0.2]]
    start = np.array([[1.0, 0.0], [-0.6, 0.3]]) + 0.1 * generator.standard_normal((2, 2))
    system = System(start, Kernel("inverse", softening=0.05), Operators(B=1.0, D=-1.0, F=turn), signals=2)
    return system, (0.0, 40.0), {"method": "dopri5"}


def _cluster(generator):
    # q' = E - q with E = tanh(A R) + q / 2: places stay within |q| <= 2 and follow the sign of their neighbours.
    operators = Operators(A=0.5, B=0.5, E=1.0, F=-1.0, activation="tanh")
    kernel = Kernel("gaussian", length=0.7)
    system = System(generator.uniform(-1.0, 1.0, (60, 3)), kernel, operators, delay=0.1, signals=3)
    return system, (0.0, 10.0), {"method": "dopri5", "rtol": 1e-4, "atol": 1e-6}


def _pulse(generator):
    layers, width = 6, 8
    places = generator.uniform(-0.5, 0.5, (layers * width, 3))
    places[:, 0] = np.repeat(np.arange(layers, dtype=float), width)
    strengths = np.diag(np.full(layers - 1, 1.5 / width), 1)

    def pulse(t):
        return np.full((width, 1), np.exp(-0.5 * ((t - 1.0) / 0.15) ** 2))

    system = System(
        places,
        Kernel("inverse", softening=0.1),
        Operators(A=1.0, activation="tanh"),
        delay=1.0,
        groups=np.repeat(np.arange(layers), width),
        strengths=strengths,
        clamped={0: pulse},
    )
    return system, (0.0, 8.0), {"method": "rk4", "dt": 0.02}


def _field(generator, gain, drive, delay):
    places = generator.uniform(-1.0, 1.0, (12, 2))
    kernel = Kernel("inverse", softening=0.1)
    unit = echo_gain(System(places, kernel, Operators(A=1.0)))
    operators = Operators(A=gain / unit, B=[[1.0, 0.5]])
    return System(places, kernel, operators, delay=delay, drive=drive)


def _stable(generator):
    return _field(generator, 0.8, 0.1, 0.2), (0.0, 10.0), {"method": "dopri5"}


def _echo(generator):
    # 3^k passes the largest float, 2e308, at k = 646 delays.
    return _field(generator, 3.0, None, 0.1), (0.0, 100.0), {"method": "dopri5"}


_MAKERS = {"pair": _pair, "cluster": _cluster, "pulse": _pulse, "stable": _stable, "echo": _echo}
