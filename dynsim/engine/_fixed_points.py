"""Fixed points: places at which nothing moves, and what becomes of small displacements there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import root

from dynsim._check import as_array, as_count, as_instance, as_number, refusal
from dynsim._described import Described

from ._given_signals import SignalsOfParts
from ._machine import SignalsAtOnce
from ._system import System
from .integrators import METHODS

MOST_COORDINATES = 1000  # H N d: a Jacobian of 8 MB, 2000 evaluations and 10^9 operations each time it is made
STEP = np.finfo(float).eps ** (1 / 3)  # of central differences, relative: errors of h^2 and of eps / h are alike
# Relative to the size of the Jacobian, below which an eigenvalue is 0 to rounding: its numbers are known to STEP^2,
# 4e-11, and an eigenvalue 0 that occurs twice moves by the root of that, 6e-6.
ZERO = 1e-5
SINGULAR = 1e-7  # relative singular values along which a Newton step says nothing
LEVENBERG_MARQUARDT = {"xtol": 1e-14, "ftol": 1e-14, "maxiter": 100}
ALIKE = 1e-6  # relative distance of two points that are one: far above the accuracy of either


@dataclass(eq=False, repr=False)
class FixedPoint(Described):
    """A fixed point that `fixed_points` found.

    Attributes
    ----------
    q : numpy.ndarray, (N, d) or (H, N, d)
        Places at which q' = 0.
    R, E : numpy.ndarray, (N, s)
        Signals there.
    residual : float
        Largest component of q' there.
    eigenvalues : numpy.ndarray, (M,)
        Of the Jacobian dq'/dq there, of the M coordinates that can move, complex, by falling real part.
    verdict : str
        "stable": all displacements decay; "unstable": some grow and none decays; "saddle": some grow, others decay;
        "centre": none grows, and some turn around without decaying; "neutral": none moves. Neutral directions, of
        eigenvalues that are 0 to rounding, are left out of the verdict where there are others, and counted:
    neutral : int
        Number of neutral directions, such as moving all places alike, or turning them.
    starts : int
        From how many of the starts it was reached.

    Examples
    --------
    >>> from dynsim.engine import Operators, System, fixed_points
    >>> point = fixed_points(System([[1.0, 2.0]], operators=Operators(F=[[0.0, 1.0], [-1.0, 0.0]])))[0]
    >>> point.verdict, point.neutral
    ('centre', 0)
    """

    q: np.ndarray
    R: np.ndarray
    E: np.ndarray
    residual: float
    eigenvalues: np.ndarray
    verdict: str
    neutral: int
    starts: int

    def facts(self) -> dict:
        """What it is shown by."""
        shape = " x ".join(map(str, self.q.shape))
        leading = self.eigenvalues[0]
        return {
            "verdict": self.verdict,
            "places": shape,
            "residual": f"{self.residual:.2g}",
            "leading eigenvalue": f"{leading:.4g}" if leading.imag else f"{leading.real:.4g}",
            "neutral directions": self.neutral,
            "starts": self.starts,
        }


def fixed_points(
    system: System,
    *,
    starts: int | npt.ArrayLike = 10,
    spread: float | None = None,
    tolerance: float = 1e-8,
    seed: int = 0,
) -> list[FixedPoint]:
    """Places q* at which q' = 0, from several starts, each with its stability.

    From every start SciPy's Levenberg-Marquardt method (`scipy.optimize.root`) solves q' = 0, with a Jacobian by
    central differences of the engine's own right-hand side. It also ends where |q'| has a minimum that is not 0, or far
    away, where all forces vanish: such ends are left out. A list that is empty, or lacks a point, proves nothing.
    Coordinates that cannot move, as their rows of D, E and F are 0, stay where they are.

    Neurons with mass rest where those without do, and stability is that of the motion without mass and noise.

    At rest all signals are constant, so a system with a delay has the fixed points of the same system at delay 0.
    That one is solved, and the stability is that of the system without delay: a delay can make a stable point unstable.

    Parameters
    ----------
    system : System
        With a constant drive and constant clamps, and at most 1000 coordinates H N d: a Jacobian of n coordinates
        takes 8 n^2 bytes and 2 n evaluations, and tens of Jacobians are made for every start.
    starts : int or array_like
        How many: system.q first, the others at random around it; or the places themselves, (S, N, d) or (S, H, N, d).
    spread : float, optional
        Standard deviation of random starts; default that of system.q about its mean, or 1 where all places are one.
    tolerance : float
        How far, relative to the size of the places, a point may be from where Newton's method would take it.
    seed : int
        Of the random starts.

    Returns
    -------
    list of FixedPoint
        Different ones, those first that most starts led to. Points with neutral directions that differ by a motion of
        all places that keeps their distances count as one.

    Raises
    ------
    ValueError, TypeError
        If the system is too large, nothing in it can move, its drive or a clamp changes in time, or an argument is not
        what it should be.

    References
    ----------
    More, The Levenberg-Marquardt algorithm: implementation and theory, Lecture Notes in Mathematics 630 (1978) 105.

    Examples
    --------
    >>> from dynsim.engine import Operators, System, fixed_points
    >>> system = System([[1.0]], operators=Operators(D=1.0, F=-2.0), drive=3.0)
    >>> point = fixed_points(system)[0]
    >>> point.q.round(9).tolist(), point.verdict, point.eigenvalues.real.round(9).tolist()
    ([[1.5]], 'stable', [-2.0])
    """
    as_instance(system, System, "system")
    _expect_autonomous(system)
    if system._inertia.massive and not system._inertia.friction.all():
        expected = "friction above 0, or mass=0: without it v of (3) does not act, and no place is fixed by it"
        raise refusal("system", "neurons with mass and no friction", expected)
    size = system.q.size
    if size > MOST_COORDINATES:
        expected = f"at most {MOST_COORDINATES:,}, as every Jacobian takes 2 evaluations for each"
        raise refusal("system", f"{size:,} coordinates", expected, "take fewer neurons")
    tolerance = as_number(tolerance, "tolerance", above=0)
    generator = np.random.default_rng(as_count(seed, "seed", minimum=0))
    moving = _moving(system)
    if not moving.any():
        raise refusal("system", "D, E and F that are all 0", "one in which places can move, as any place is fixed here")
    points = _starts(system, starts, spread, generator, moving)
    rest = _Rest(system, moving.reshape(-1))
    found = []
    for start in points:
        x = rest.solve(start.reshape(-1).copy(), tolerance)
        if x is None:
            continue
        J = rest.jacobian(x)
        near = next((one for one in found if rest.same(one[0], x, J)), None)
        if near is None:
            found.append([x, J, 1])
        else:
            near[2] += 1
    return [rest.point(*one) for one in sorted(found, key=lambda one: -one[2])]


# What leaves the places of rest as they are, and is left out.
STILL = {"mass": 0.0, "velocity": None, "temperature": 0.0}


class _Rest:
    """q' of a system at delay 0 as a function of its coordinates, of which some are `moving`, and its zeros."""

    def __init__(self, system, moving):
        self.moving = np.flatnonzero(moving)
        self.shape, self.system = system.q.shape, system.replace(delay=0.0, speed=None, **STILL)
        self.machine = SignalsAtOnce(self.system, METHODS["rk4"]).machine

    def evaluate(self, x):
        """q' (n,), R and E; raises ArithmeticError where they are not finite."""
        f, R, E = self.machine.evaluate(0.0, self.system._places(x))
        return f.reshape(-1), R, E

    def motion(self, x):
        """q' of the M coordinates that can move."""
        return self.evaluate(x)[0][self.moving]

    def jacobian(self, x):
        """dq'/dq (M, M) by central differences."""
        J, steps = np.empty((len(self.moving), len(self.moving))), STEP * np.maximum(np.abs(x), _size(x) or 1.0)
        for column, k in enumerate(self.moving):
            ahead, behind = x.copy(), x.copy()
            ahead[k], behind[k] = x[k] + steps[k], x[k] - steps[k]
            J[:, column] = (self.motion(ahead) - self.motion(behind)) / (ahead[k] - behind[k])
        return J

    def _with(self, x, values):
        """Coordinates x (n,) with other values (M,) of those that can move."""
        x = x.copy()
        x[self.moving] = values
        return x

    def solve(self, x, tolerance):
        """A zero of q' near x (n,), or None."""
        try:
            end = root(lambda y: self.motion(self._with(x, y)), x[self.moving], method="lm",
                       jac=lambda y: self.jacobian(self._with(x, y)), options=LEVENBERG_MARQUARDT).x  # fmt: skip
            end = self._with(x, end)
            for _ in range(3):  # Newton, without the directions along which nothing changes
                J, f = self.jacobian(end), self.motion(end)
                step = np.linalg.pinv(J, rcond=SINGULAR) @ f if np.isfinite(J).all() else np.full(len(f), np.inf)
                size = max(_size(end), _size(x)) or 1.0
                if not _size(step) <= 0.1 * size:
                    return None
                left = _size(f - J @ step)  # which no direction reduces
                end[self.moving] -= step
        except ArithmeticError:  # two neurons met, or places without bounds
            return None
        small = _size(step) <= tolerance * size and left <= tolerance * max(np.abs(J).max() * size, _size(f))
        return end if small and _size(self.motion(end)) <= tolerance * max(np.abs(J).max(), 1e-300) * size else None

    def same(self, one, other, J):
        """Whether two zeros are one, or one up to a motion along which nothing changes."""
        size = max(_size(one), _size(other))
        if _size(one - other) <= ALIKE * size or size == 0:
            return True
        if not _signs(np.linalg.eigvals(J), J)[2].any():
            return False
        apart = [_distances(self.system._places(x)) for x in (one, other)]
        return bool(len(apart[0]) and np.abs(apart[0] - apart[1]).max() <= ALIKE * size)

    def point(self, x, J, starts):
        """What is said about a zero."""
        _, R, E = self.evaluate(x)
        values = np.linalg.eigvals(J).astype(complex)
        values = values[np.lexsort((values.imag, -values.real))]
        grows, decays, neutral = _signs(values, J)
        if grows.any():
            verdict = "saddle" if decays.any() else "unstable"
        elif neutral.all():
            verdict = "neutral"
        else:
            verdict = "stable" if (decays | neutral).all() else "centre"
        places = x.reshape(self.shape)
        return FixedPoint(
            places, R, E, float(np.abs(self.motion(x)).max()), values, verdict, int(neutral.sum()), starts
        )


def _signs(values, J):
    """Which eigenvalues have a positive and which a negative real part, and which are 0, to rounding."""
    zero = ZERO * np.linalg.norm(J, 2)
    return values.real > zero, values.real < -zero, np.abs(values) <= zero


def _size(x):
    """Root mean square."""
    return float(np.linalg.norm(x) / np.sqrt(len(x)))


def _distances(places):
    """Distances of all pairs within each copy, of places (H, N, d)."""
    first, second = np.triu_indices(places.shape[1], 1)
    return np.linalg.norm(places[:, first] - places[:, second], axis=-1).reshape(-1)


def _moving(system):
    """Which coordinates, shaped as system.q, can move: those with a number in their rows of D, E or F, or all."""
    if system.teacher is not None:
        return np.ones(system.q.shape, bool)
    operators = system._equations
    rows = [(operator.value != 0).any(axis=-1) for operator in (operators.D, operators.E, operators.F)]
    return np.broadcast_to(rows[0] | rows[1] | rows[2], system.q.shape)


def _starts(system, starts, spread, generator, moving):
    """Places (S, ...) to begin at."""
    if np.ndim(starts) > 1:
        return as_array(starts, "starts", ("S", *system.q.shape), np.float64)
    count = as_count(starts, "starts")
    if spread is None:
        centred = system.q - system.q.mean(axis=-2, keepdims=True)
        spread = _size(centred.reshape(-1)) or 1.0
    spread = as_number(spread, "spread", above=0)
    points = system.q + spread * moving * generator.standard_normal((count, *system.q.shape))
    points[0] = system.q
    return points


def _expect_autonomous(system):
    given = [("drive", system._drive), *((f"clamped group {g}", c[1]) for g, c in zip(system.clamped, system._clamps,
                                                                                    strict=True))]  # fmt: skip
    for name, signal in given:
        if signal is not None and not _is_constant(signal):
            raise refusal(name, "a signal that changes in time", "a constant one, as nothing rests under another")


def _is_constant(signal):
    if isinstance(getattr(signal, "function", None), SignalsOfParts):
        return all(_is_constant(part) for _, part in signal.function.parts)
    return getattr(signal, "constant", False)
