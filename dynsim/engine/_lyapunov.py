"""The largest Lyapunov exponent of a run: how fast two neighbouring trajectories part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dynsim._check import as_choice, as_count, as_instance, as_number, refusal
from dynsim._plotted import Plotted
from dynsim._ranks import by_all_ranks

from ._delay_memory import resting_signals
from ._recorder import LastOnly
from ._solve import expect_span, solve
from ._system import System
from ._twin_system import halves, rescaled, twin
from .integrators import METHODS, Method, Tableau

INTERVALS = 400  # into which a span is divided where nothing else is asked for
BLOCKS = 20  # of the block averages; the uncertainty is then itself known to 1 / sqrt(2 * 19), 16 %
BEYOND = 1e150  # sizes of which there are no squares
# Of the separation, in units of the distance, within which an interval counts: below, the rounding of the places
# (2e-16 of their size) is more than a thousandth of a separation that began at 1e-8; above, it is no longer small.
SMALLEST, LARGEST = 2e-16 / 1e-3, 1e-3  # times the size of the state


@dataclass(eq=False, repr=False)
class Lyapunov(Plotted):
    """What `lyapunov` returns.

    Attributes
    ----------
    exponent : float
        The largest Lyapunov exponent, per unit of time; NaN where the run failed before its first interval was over.
    uncertainty : float
        One standard deviation of it, from block averages.
    t, values : numpy.ndarray, (K,)
        Ends of the intervals after the transient, and the estimate from all up to there.
    rates : numpy.ndarray, (K,)
        ln(separation at the end / at the start) / length of each interval, of which `exponent` is the mean.
    status : int
        0, or that of the run which ended early: -1 failed, -2 diverged.
    message : str
        The outcome in words.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.engine import Operators, System, lyapunov
    >>> found = lyapunov(System(np.ones((1, 1)), operators=Operators(F=0.5)), (0.0, 10.0), renormalise=0.25)
    >>> found.t.shape, found.success
    ((36,), True)
    """

    exponent: float
    uncertainty: float
    t: np.ndarray
    values: np.ndarray
    rates: np.ndarray
    status: int = 0
    message: str = ""

    figure_kind = "lyapunov"

    @property
    def success(self) -> bool:
        """Whether the whole span was integrated."""
        return self.status == 0

    def facts(self) -> dict:
        """What it is shown by."""
        over = f"{self.t[0]:g} to {self.t[-1]:g}" if len(self.t) else "-"
        return {
            "exponent": f"{self.exponent:.6g} ± {self.uncertainty:.2g}",
            "intervals": len(self.t),
            "times": over,
            "message": self.message,
        }


@by_all_ranks
def lyapunov(
    system: System,
    span: tuple[float, float],
    *,
    method: str | Tableau = "dopri5",
    dt: float | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    max_step: float | None = None,
    transient: float | None = None,
    renormalise: float | None = None,
    distance: float = 1e-8,
    seed: int = 0,
) -> Lyapunov:
    r"""The largest Lyapunov exponent of a run, by two trajectories and renormalisation.

    A second trajectory begins at a small random distance from the first. After every interval tau the separation is
    scaled back to that distance, along its own direction; the exponent is the mean of
    ln(separation after / before) / tau. The state is the places; with a delay, also the places and emitted signals of
    the whole delay before, which are displaced and scaled back together (their mean square over the delay counts in
    the separation). Frozen places are neutral: an exponent below 0 is then not seen, but 0.

    Both trajectories are one run of 2 N neurons, the halves of which do not act on each other. So they have the same
    steps, and errors of the method are alike in both and cancel to the order of the method. With an adaptive method
    steps are also so short that the separation, at the rate at which it changed last, is integrated to rtol: where the
    trajectory comes to rest its own error would allow longer ones. With drives and clamps that change in time it is the
    exponent under this drive. Of a system with an `accuracy` sums are exact, as errors of trees are larger than the
    separation; at delay 0, signals that an activation feeds back are known to 1e-12, a ten thousandth of it.

    Parameters
    ----------
    system : System
    span : (t0, t1)
        The run begins at system.q, with the default history.
    method, dt, rtol, atol, max_step
        As for `solve`.
    transient : float, optional
        Time after t0 that does not count, while the trajectory comes to its attractor and the separation turns into
        the direction that grows fastest; default a tenth of the span, with a delay at least the delay.
    renormalise : float, optional
        tau; the span is divided evenly into intervals of about this length, by default into 400. Within one, the
        separation should grow or shrink by less than 10^4.
    distance : float
        The separation after every renormalisation, divided by the largest size that the state has had.
    seed : int
        Of the direction in which the second trajectory begins.

    Returns
    -------
    Lyapunov
        `exponent`, `uncertainty`, the estimate over time, and `plot()`. The uncertainty is the standard error of the
        mean of 20 blocks of consecutive intervals: rates within a block may depend on each other, means of blocks do
        not where a block is longer than the memory of the motion. What is left of the transient is not in it: it
        changes the exponent by about 1 / (length of the span). Of a run that diverged or failed, what came before.

    Raises
    ------
    ValueError, TypeError
        If an argument is not what it should be; nothing is integrated then.

    References
    ----------
    Benettin, Galgani & Strelcyn, Physical Review A 14 (1976) 2338; Farmer, Physica D 4 (1982) 366 (delays);
    Flyvbjerg & Petersen, Journal of Chemical Physics 91 (1989) 461 (block averages).

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.engine import Operators, System, lyapunov
    >>> system = System(np.array([[1.0], [2.0]]), operators=Operators(F=-0.5))
    >>> round(lyapunov(system, (0.0, 20.0)).exponent, 5)
    -0.5
    """
    as_instance(system, System, "system")
    _expect_comparable(system)
    t0, t1 = expect_span(span)
    tableau = method if isinstance(method, Method) else METHODS[as_choice(method, METHODS, "method")]
    rtol, distance = as_number(rtol, "rtol", minimum=0), as_number(distance, "distance", above=0)
    if not 1e-12 <= distance <= 1e-4:
        raise refusal("distance", f"{distance:g}", "1e-12 to 1e-4: above rounding, and small")
    max_step = None if max_step is None else as_number(max_step, "max_step", above=0)
    times, first = _intervals(system, t0, t1, transient, renormalise)
    generator = np.random.default_rng(as_count(seed, "seed", minimum=0))
    pair = _Pair(system, t0, distance, generator)
    options = {"method": method, "dt": dt, "rtol": rtol, "atol": atol, "record": LastOnly()}
    growth, status, message = [], 0, "Reached the end of the time span."
    for k, (begin, end) in enumerate(pairwise(times)):
        if tableau.adaptive:
            options["max_step"] = _least(max_step, pair.longest(tableau, rtol))
        elif max_step is not None:
            options["max_step"] = max_step  # which `solve` refuses
        solution = solve(pair.system, (begin, end), history=pair.history(begin), resume=pair.state, **options)
        if solution.status < 0:
            status, message = solution.status, solution.message
            break
        before, after, size = pair.renormalise(solution.state)
        if not size < BEYOND:
            status, message = -2, f"The state grew beyond {BEYOND:g} by t = {end:.9g}; end the span before."
            break
        counts = k >= first
        if not 0 < after <= (LARGEST * size if counts else math.inf) or (counts and after < SMALLEST * size):
            status, message = -1, _too_far(begin, end, after / before)
            break
        if counts:
            growth.append(math.log(after / before))
    return _result(np.array(growth), times[first:], status, message)


def _expect_comparable(system):
    """Refuse a system of which two trajectories do not fit into one run."""
    found = {
        "several delays": system._delays.several,
        "a finite speed of signals": system.speed is not None,
        "a teacher": system.teacher is not None,
        "a temperature above 0": system._inertia.warm,
    }
    for what, there in found.items():
        if there:
            expected = "one delay or none, no teacher and temperature 0"
            raise refusal("system", f"one with {what}", expected, "follow two runs of your own")


class _Pair:
    """Two trajectories as one run: a system of twins, its state, and the history of both, `distance` apart."""

    def __init__(self, system, t0, distance, generator):
        self.delay, self.distance, self.state, self.rate = system.delay, distance, None, 0.0
        self.until, self.size = t0 + system.delay, 0.0
        direction = generator.standard_normal(system.q.shape)
        self.size = self._larger(system.q)
        self.apart = distance * self.size
        self.system = twin(system, system.q + direction * (self.apart / np.linalg.norm(direction)))
        if not self.delay:
            return
        # Signals that nobody moves can part only if they begin apart; what is clamped does not.
        E = resting_signals(self.system, self.system._places(self.system.q), t0)
        N = system.neurons
        emitted = generator.standard_normal((N, system.signals))
        emitted *= self.apart / np.linalg.norm(emitted)
        for members, _ in system._clamps:
            emitted[members] = 0.0
        E[N:] = E[:N] + emitted
        self.before = {"q": self.system.q.copy(), "E": E}
        self.size = self._larger(system.q, system.q, E[:N])
        self.apart = math.sqrt(2 * np.sum(halves(self.before["q"])[1] ** 2) + np.sum(halves(E)[1] ** 2))

    def _larger(self, *values):
        """The size of a state, if it is the largest so far; 1 where all is 0."""
        return max(self.size, math.sqrt(sum(np.sum(np.square(v)) for v in values))) or 1.0

    def history(self, t):
        """Places and signals of both before t0, while a run that goes on at t still looks back at them."""
        if not self.delay or t >= self.until:
            return None
        return lambda _: (self.before["q"], self.before["E"])

    def longest(self, tableau, rtol):
        """A step z / rate over which e^(rate t) is integrated to rtol: z^(p + 1) / (p + 1)! = rtol z; None at rest."""
        if not self.rate:
            return None
        p = tableau.order
        return (max(rtol, 1e-13) * math.factorial(p + 1)) ** (1 / p) / self.rate

    def renormalise(self, state):
        """Take over a state with its second half drawn back; returns the separations before, after, and the size."""
        weighted = [(state["q"], 1.0), *self._remembered(state)]
        found = [(*halves(values), weight) for values, weight in weighted]
        with np.errstate(over="ignore", invalid="ignore"):
            size, after = (math.sqrt(sum(np.sum(part[2] * part[k] ** 2) for part in found)) for k in (0, 1))
        before, self.size = self.apart, max(self.size, size)
        if 0 < after < BEYOND and size < BEYOND:
            self.rate = float(np.linalg.norm(halves(state["velocity"])[1])) / after
            self.apart = self.distance * self.size
            self.state = rescaled(state, self.apart / after)
            if self.delay:
                self.before = rescaled(self.before, self.apart / after)
        return before, after, self.size

    def _remembered(self, state):
        """What lies within one delay, (values, weights), whose sum of squares is the mean over the delay."""
        if not self.delay:
            return []
        t, steps = state["t"], state["memory"]["steps"]
        within = np.minimum(steps.sum(axis=1), t) - np.maximum(steps[:, 0], t - self.delay)
        share = np.maximum(within, 0.0) / self.delay
        found = []
        for name in ("q", "E"):
            values = state["memory"][name]
            weight = share / max(values.shape[1], 1)
            found.append((values, weight.reshape(-1, *[1] * (values.ndim - 1))))
            found.append((self.before[name], max(1.0 - share.sum(), 0.0)))
        return found


def _intervals(system, t0, t1, transient, renormalise):
    """Times at which the separation is scaled back (K + 1,), and the first interval that counts."""
    length = t1 - t0
    tau = length / INTERVALS if renormalise is None else as_number(renormalise, "renormalise", above=0)
    if transient is None:
        transient = max(0.1 * length, system.delay)
    transient = as_number(transient, "transient", minimum=0)
    if transient < system.delay:
        expected = f"at least the delay, {system.delay:g}, in which the history is still seen"
        raise refusal("transient", f"{transient:g}", expected)
    count = max(1, round(min(length / tau, 2.0**40)))
    first = math.ceil(transient / length * count * (1 - 1e-12))
    if count - first < BLOCKS:
        left = max(0.0, length - transient)
        expected = f"{BLOCKS} intervals or more after the transient, which {left:g} of the span follow"
        raise refusal("renormalise", f"{tau:g}", expected, "make it shorter, or the span longer")
    if length / count < 64 * np.spacing(max(abs(t0), abs(t1))):
        raise refusal("renormalise", f"{tau:g}", "an interval that numbers near the span can resolve")
    times = t0 + (length / count) * np.arange(count + 1)
    times[-1] = t1
    return times.tolist(), first


def _least(*steps):
    return min((step for step in steps if step is not None), default=None)


def _too_far(begin, end, factor):
    return (
        f"Between t = {begin:.9g} and {end:.9g} the separation changed by a factor of {factor:.3g}, and was lost in "
        "rounding or no longer small; renormalise more often."
    )


def _result(growth, times, status, message):
    ends, lengths = np.array(times[1 : len(growth) + 1]), np.diff(times[: len(growth) + 1])
    rates, passed = growth / lengths, np.cumsum(lengths)
    values = np.cumsum(growth) / passed
    uncertainty = math.nan
    if len(growth) >= BLOCKS:
        means = [np.sum(g) / np.sum(w) for g, w in zip(*(np.array_split(a, BLOCKS) for a in (growth, lengths)),
                                                       strict=True)]  # fmt: skip
        uncertainty = float(np.std(means, ddof=1) / math.sqrt(BLOCKS))
    exponent = float(values[-1]) if len(values) else math.nan
    return Lyapunov(exponent, uncertainty, ends, values, rates, status, message)
