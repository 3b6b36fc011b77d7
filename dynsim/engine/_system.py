"""The system: neurons at places, how they act on each other, and what is given from outside."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_count, as_instance, as_number, describe, expect_keys, refusal
from dynsim._described import Described
from dynsim.kernels import Kernel, expect_accuracy

from ._delays import Delays
from ._given_signals import Given, implied_signals, own_signal
from ._inertia import Inertia
from ._operators import Operators, Resolved
from ._received_signals import Coupling
from ._teacher import Teacher


class System(Described):
    """N neurons that emit and receive signals and move, equations (1') to (3).

    With groups g, copies h, strengths lambda, drive I and delay eps::

        R_i(t) = I_i(t) + sum_h sum_{j != i} lambda_h[g(j), g(i)] E_j(t - eps) phi(q_j^h(t - eps), q_i^h(t))
        E_i(t) = act(A R_i) + B Q_i + C Q_i',    Q_i = sum_h q_i^h
        q_i^h' = D R_i + E_op E_i + F q_i^h = v_i

    With a mass m, friction gamma, temperature T and the force f of a teacher the last of them is in full::

        m q_i'' = -gamma (q_i' - v_i) + f_i + sqrt(2 gamma T) xi_i(t),        f_i = -mu dL/dq_i
        q_i' = v_i + f_i / gamma + sqrt(2 T / gamma) xi_i(t)                  where m = 0

    with independent white noise xi for every copy and axis. Neurons with mass have velocities of their own, which are
    what C acts on.

    A system does not change: it keeps copies of all arrays, which cannot be written to; `replace` makes another one. It
    can be copied, and pickled if the functions among its signals can.

    Parameters
    ----------
    q : array_like, (N, d) or (H, N, d)
        Places at the start. H copies of a neuron share its signals.
    kernel : Kernel, optional
        phi; default `Kernel()`, 1 / r.
    operators : Operators, optional
        A to F and the activation; default all zero.
    delay : float or array_like, (G, G)
        eps >= 0, in the units of time: a number for all pairs, or delay[from, to] for each pair of groups. Pairs of
        delay 0 beside others act at once. Where all pairs that act on each other have one delay, it is that number.
    speed : float, optional
        v > 0, of signals: beside the delay, which is then one number, the pair has one of r / v. What neuron i receives
        at t was sent at t_r = t - eps - |q_i(t) - q_j(t_r)| / v, by the metric of the kernel without its softening.
        Neurons must be slower than v. Steps are shorter than the shortest of these delays. Default: no such delay.
    groups : array_like of int, (N,), optional
        Group of each neuron, 0 to G - 1; default one group.
    strengths : array_like, (G, G) or (H, G, G), optional
        lambda[from, to], for all copies or for each; default 1. With one group also a number or (H,).
    drive : array_like, callable or tuple, optional
        I: (N, s), (s,) or a number; a function t -> one of these; or sampled, (times (K,), values (K, N, s)),
        interpolated linearly and held outside its times. Where its slope changes the drive has a kink, on which steps
        land; a function is not looked into, see `max_step` of `solve`.
    clamped : dict, optional
        {group: signal}: the group's emitted signal is given, (n_g, s), (s,), a number, a function of t, or sampled;
        its equation (2) is not used. Its neurons still receive and move.
    signals : int, optional
        s; default what the operators' matrices, the drive or the clamps imply, else 1.
    backend : {"auto", "numba", "cupy"}
        What computes the pair sums, see `dynsim.kernels.find_backend`; "auto" takes a CUDA card for large systems only.
    accuracy : float, optional
        Relative error that the sums of (1') may have, as `dynsim.kernels.TreeProduct` estimates it, of each copy from
        group to group: where these cancel, that of R is larger. Large systems are then summed by trees where the kernel
        and the dimension allow it and it pays. It should be well below the tolerance of an adaptive method. Without it,
        sums are exact to rounding.
    mass, friction : float or array_like, optional
        m and gamma, one number, one for each neuron (N,), or one for each group (G,). Masses are all 0 (the default) or
        all above 0; friction is 1 where nothing else is said, and above 0 for neurons without mass that something
        pushes. Without mass, noise and teacher friction changes nothing.
    temperature : float or tuple, optional
        T >= 0, in units of energy; or times (K,) and temperatures (K,), linear between, held outside. Above 0 only the
        methods with noise can be used, see `solve`.
    velocity : array_like, optional
        Velocities at the start, as q, of neurons with mass; default 0.
    teacher : Teacher, optional
        A loss on the signals of a group, whose gradient pushes all neurons: learning.

    Attributes
    ----------
    q, kernel, operators, delay, speed, groups, strengths, drive, clamped, signals, accuracy, mass, friction,
    temperature, velocity, teacher
        As given, arrays as float64, not writeable; strengths always (H, G, G); delay a number, or (G, G) where there
        are several.
    looks_back : bool
        Whether what is received was sent earlier: with a delay or a speed.
    neurons, dimension, copies : int
        N, d and H.
    backend : Backend
        Its `name` and the `reason`.

    Raises
    ------
    ValueError, TypeError
        If something does not fit, naming it; if I - C E_op is singular.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.engine import Operators, System
    >>> system = System(np.eye(3), operators=Operators(F=-1.0), delay=0.5)
    >>> system.neurons, system.dimension, system.signals
    (3, 3, 1)
    """

    def __init__(
        self,
        q: npt.ArrayLike,
        *,
        kernel: Kernel | None = None,
        operators: Operators | None = None,
        delay: npt.ArrayLike = 0.0,
        speed: float | None = None,
        groups: npt.ArrayLike | None = None,
        strengths: npt.ArrayLike | None = None,
        drive: npt.ArrayLike | Callable | tuple | None = None,
        clamped: dict | None = None,
        signals: int | None = None,
        backend: str = "auto",
        accuracy: float | None = None,
        mass: npt.ArrayLike = 0.0,
        friction: npt.ArrayLike = 1.0,
        temperature: float | tuple = 0.0,
        velocity: npt.ArrayLike | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        q = as_array(q, "q", dtype=np.float64)
        if q.ndim not in (2, 3) or 0 in q.shape:
            raise refusal("q", f"shape {q.shape}", "(N, d) or (H, N, d), none of them 0")
        self.q = _own(q)
        self.neurons, self.dimension = q.shape[-2:]
        self.copies = q.shape[0] if q.ndim == 3 else 1
        self.kernel = as_instance(Kernel() if kernel is None else kernel, Kernel, "kernel")
        self.operators = as_instance(Operators() if operators is None else operators, Operators, "operators")
        self.groups = None if groups is None else _own(_groups(groups, self.neurons))
        self.strengths = _own(_strengths(strengths, self.groups, self.copies))
        self._delays = Delays(delay, self.strengths, self.groups, self.neurons)
        self.delay = self._delays.value
        self.speed = None if speed is None else self._one_speed(speed, backend, accuracy)
        clamped = _clamps(clamped, self.strengths.shape[-1])
        self.drive = own_signal(drive, "drive")
        self.clamped = MappingProxyType({g: own_signal(signal, f"clamped group {g}") for g, signal in clamped.items()})
        self.signals = self._signals(signals)
        self.accuracy = None if accuracy is None else expect_accuracy(accuracy)
        self._members = np.zeros(self.neurons, int) if self.groups is None else self.groups
        self._inertia = Inertia(
            mass,
            friction,
            temperature,
            groups=self.groups,
            neurons=self.neurons,
            number_of_groups=self.strengths.shape[-1],
        )
        self.mass, self.friction = (_own(np.asarray(value, dtype=float)) for value in (mass, friction))
        self.temperature = self._inertia.temperature
        self.velocity = self._velocity(velocity)
        self._equations = Resolved(
            self.operators,
            self.neurons,
            self.copies,
            self.signals,
            self.dimension,
            rates=self._inertia.rates(),
            members=self._members,
            number_of_groups=self.strengths.shape[-1],
        )
        self._coupling = Coupling(
            self.kernel,
            self.groups,
            self.strengths,
            neurons=self.neurons,
            dimension=self.dimension,
            backend=backend,
            accuracy=self.accuracy,
        )
        self.backend = self._coupling.backend
        self._drive = None if drive is None else Given(self.drive, "drive", self.neurons, self.signals)
        self._clamps = []
        for group, signal in self.clamped.items():
            clamp = np.flatnonzero(self._members == group)
            self._clamps.append((clamp, Given(signal, f"clamped group {group}", len(clamp), self.signals)))
        self.teacher = None if teacher is None else as_instance(teacher, Teacher, "teacher")
        if self._inertia.warm:
            self._inertia.expect_friction("noise")
            if not self._inertia.massive and np.any(self.operators.C):
                got = "an operator C for neurons without mass at a temperature above 0, which would emit white noise"
                raise refusal("operators", got, "C = 0, or a mass above 0")
        if self.teacher is not None:
            self._inertia.expect_friction("a teacher")
            self.teacher.expect(self)
        # What makes the same system again, all of it our own.
        self._arguments = {
            "q": self.q, "kernel": self.kernel, "operators": self.operators, "delay": own_signal(delay, "delay"),
            "speed": self.speed,
            "groups": self.groups, "strengths": own_signal(strengths, "strengths"), "drive": self.drive,
            "clamped": dict(self.clamped), "signals": signals, "backend": backend,
            "accuracy": self.accuracy, "mass": self.mass, "friction": self.friction, "temperature": self.temperature,
            "velocity": self.velocity, "teacher": self.teacher,
        }  # fmt: skip

    def replace(self, **changes) -> System:
        """Return a system made as this one was, but for the arguments that are given.

        Raises as `System` does, and ValueError for arguments that it does not have.

        >>> import numpy as np
        >>> slow = System(np.eye(2), operators=Operators(F=-1.0))
        >>> slow.replace(operators=Operators(F=-9.0), delay=0.1).delay, slow.delay
        (0.1, 0.0)
        """
        expect_keys(changes, list(self._arguments), "replace")
        arguments = {**self._arguments, **changes}
        return type(self)(arguments.pop("q"), **arguments)

    def on(self, backend: str) -> System:
        """Return the same system, computed by another backend.

        >>> import numpy as np
        >>> System(np.eye(2)).on("numba").backend
        Backend(name='numba', reason='asked for')
        """
        return self.replace(backend=backend)

    def __setattr__(self, name, value):
        if "_arguments" not in self.__dict__:  # it is being made
            return super().__setattr__(name, value)
        known = [known for known in self.__dict__ if not known.startswith("_")]
        if name in self._arguments:
            do = f"make another one with system.replace({name}=...)"
        elif name in known:
            do = "make another one with system.replace(...)"
        else:
            near = get_close_matches(name, known, 1, 0.5)
            do = f"perhaps {near[0]!r} is meant" if near else f"it has {', '.join(known)}"
        raise refusal(f"system.{name}", "a value", "none, as a system does not change", do, error=AttributeError)

    def __delattr__(self, name):
        raise refusal(f"system.{name}", "a deletion", "none, as a system does not change", error=AttributeError)

    def __reduce__(self):
        return _again, (type(self), self._arguments)

    def __repr__(self):
        return (
            f"System(neurons={self.neurons}, dimension={self.dimension}, copies={self.copies}, "
            f"signals={self.signals}, groups={self.strengths.shape[-1]}, delay={self._delays}, "
            f"{'' if self.speed is None else f'speed={self.speed:g}, '}{self.kernel}, "
            f"backend={self.backend.name})"
        )

    def facts(self) -> dict:
        """What a notebook shows it by."""
        facts = {
            "neurons": self.neurons,
            "dimension": self.dimension,
            "copies": self.copies,
            "signals": self.signals,
            "groups": self.strengths.shape[-1],
            "delay": str(self._delays),
            **({} if self.speed is None else {"speed": f"{self.speed:g}"}),
            "kernel": self.kernel,
            "backend": self.backend.name,
        }
        if self.accuracy is not None:
            facts["accuracy"] = f"{self.accuracy:g}"
        if self.teacher is not None:
            facts["teacher"] = str(self.teacher)
        return facts | self._inertia.facts(self.teacher is not None)

    def _signals(self, signals):
        implied = self.operators.signals
        if signals is not None:
            signals = as_count(signals, "signals")
            if implied not in (None, signals):
                raise refusal("signals", signals, f"{implied}, the operators' number of signals")
            return signals
        for value in (self.drive, *self.clamped.values()):
            implied = implied_signals(value) if implied is None else implied
        return 1 if implied is None else implied

    def _velocity(self, velocity):
        """Velocities at the start, as places; None without mass."""
        if velocity is None:
            return _own(np.zeros_like(self.q)) if self._inertia.massive else None
        velocity = as_array(velocity, "velocity", self.q.shape, np.float64)
        if not self._inertia.massive:
            got = f"an array {velocity.shape} for neurons without mass, which (3) gives theirs"
            raise refusal("velocity", got, "None, or a mass above 0")
        return _own(velocity)

    @property
    def warm(self) -> bool:
        """Whether noise acts on the neurons: the temperature is above 0 at some time."""
        return self._inertia.warm

    @property
    def _state_shape(self):
        """Places (H, N, d), and velocities after them where neurons have mass, (2 H, N, d)."""
        return self.copies * (1 + self._inertia.massive), self.neurons, self.dimension

    @property
    def _emitted_shape(self):
        """E (N, s), and with a teacher and a delay the error signals S after it, (2 N, s)."""
        return self.neurons * (2 if self.teacher is not None and self.looks_back else 1), self.signals

    def _state(self):
        """The state at the start."""
        places = self._places(self.q)
        return np.concatenate([places, self._places(self.velocity)]) if self._inertia.massive else places.copy()

    @property
    def looks_back(self):
        """Whether what is received was sent earlier."""
        return self._delays.longest > 0 or self.speed is not None

    def _one_speed(self, speed, backend, accuracy):
        speed = as_number(speed, "speed", above=0)
        if self._delays.several:
            raise refusal("delay", "several with a finite speed", "one number", "leave out one of the two")
        if accuracy is not None:
            raise refusal("accuracy", "one with a finite speed", "None, as every pair has a time of its own")
        if backend == "cupy":
            raise refusal("backend", "'cupy' with a finite speed", "'auto' or 'numba'")
        return speed

    def _places(self, q):
        """Places as (H, N, d), whatever the user's shape."""
        return q.reshape(self.copies, self.neurons, self.dimension)


def _again(kind, arguments):
    """A system that was pickled or copied."""
    arguments = dict(arguments)
    return kind(arguments.pop("q"), **arguments)


def _own(array):
    """A copy of an array that nobody writes to."""
    array = array.copy()
    array.setflags(write=False)
    return array


def _groups(groups, neurons):
    given = as_array(groups, "groups", (neurons,))
    array = given.astype(np.int64)
    if np.any(array != given) or array.min() < 0:
        raise refusal("groups", f"{given[(array != given) | (array < 0)][0]:g}", "whole numbers from 0")
    return array


def _strengths(strengths, groups, copies):
    least = 1 if groups is None else int(groups.max()) + 1
    if strengths is None:
        return np.ones((copies, least, least))
    array = as_array(strengths, "strengths", dtype=np.float64)
    if least == 1 and array.shape in ((), (copies,)):
        array = np.broadcast_to(array.reshape(-1, 1, 1), (copies, 1, 1))
    G = array.shape[-1] if array.ndim else 0
    allowed = G >= least and array.shape in ((G, G), (copies, G, G)) and not (groups is None and G != 1)
    if not allowed:
        raise refusal(
            "strengths",
            f"shape {np.shape(strengths)}",
            f"({least}, {least}) or ({copies}, {least}, {least}), [from, to], for {least} group(s) and {copies} copies",
        )
    return np.array(np.broadcast_to(array, (copies, G, G)))


def _clamps(clamped, groups):
    if clamped is None:
        return {}
    if not isinstance(clamped, dict):
        raise refusal("clamped", describe(clamped), "a dict {group: signal}", error=TypeError)
    for group in clamped:
        if isinstance(group, bool) or not isinstance(group, int | np.integer) or not 0 <= group < groups:
            raise refusal("clamped", f"group {group!r}", f"one of the groups 0 to {groups - 1}")
    return dict(clamped)
