"""A run described by plain numbers and strings: what a TOML file says, what a trajectory file keeps."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from dynsim._check import as_array, as_choice, as_count, as_like, as_number, expect_keys, expect_memory, refusal
from dynsim.kernels import Kernel

from ._configuration_keys import GROUP, RUN, TEACHER, TOP
from ._echo_gain import echo_gain
from ._given_signals import SignalsOfParts, waveform
from ._observables import expect_observables
from ._operators import SHAPES, Operators
from ._recorder import EvenTimes, EveryStep, Times
from ._system import System
from ._teacher import Teacher
from .integrators import METHODS

TABLES = ("kernel", "operators", "groups", "strengths", "teacher", "run")
TEMPERATURE = ("times", "values")
STEPS = ("method", "dt", "rtol", "atol", "max_steps", "max_step", "first_step")

PLACES = {"normal": {"center": 0.0, "spread": 1.0}, "uniform": {"low": -1.0, "high": 1.0}}


@dataclass(eq=False)
class Configured:
    """A run that is ready: `solve(system, span, **options)`; `config` is the configuration with its defaults."""

    system: System
    span: tuple
    options: dict
    config: dict

    @property
    def seed(self) -> int:
        """Seed of the random places and, at a temperature above 0, of the noise."""
        return self.config["seed"]

    @property
    def observables(self) -> tuple[str, ...]:
        """Names of the numbers that are written with every frame of a file."""
        return tuple(self.config["run"].get("observables", ()))


def configure(config: dict, like: object = None) -> Configured:
    """Build a system and the arguments of `solve` from a configuration.

    Parameters
    ----------
    config : dict
        Keys, all with a default but `groups` and `run.until`: `seed` 0, `dimension` 3, `copies` 1, `signals` 1,
        `delay` 0; `speed` of signals; `mass` and `friction` (as `System`); `temperature`, a number or {times, values};
        `accuracy` of pair sums (as `System`); `echo_gain`, to which the strengths are then scaled; the tables `kernel`
        (as `Kernel`), `operators` (as `Operators`) and `teacher` (as `Teacher`, `group` by its name); `groups`, a list
        of tables with `neurons`, `name`, `places`, `drive`, `clamped`; `strengths`, a number, a matrix [from][to] or a
        table {"from->to" = number, or one for each copy} in which what is not named is 0; `delay` likewise, one for all
        copies; and `run` with `start`, `until`, `method`, `dt`, `rtol`, `atol`, `max_steps`, `max_step`, `first_step`,
        either `frames` (evenly spaced) or `every` (n steps), and `observables`, names of numbers written with every
        frame of a file.
        Places: `{kind = "normal", center, spread}`, `{kind = "uniform", low, high}` or the numbers themselves.
        Signals: numbers, or `{kind = "pulse" | "sine" | "step" | "samples", ...}`.
    like : Trajectory, optional
        The file that the configuration comes from: nothing is made of one that says other sizes.

    Returns
    -------
    Configured

    Raises
    ------
    ValueError, TypeError
        If a key is unknown (the nearest known one is named) or a value does not fit.

    Examples
    --------
    >>> ready = configure({"groups": [{"neurons": 5}], "run": {"until": 1.0}})
    >>> ready.system.neurons, ready.span, ready.config["delay"]
    (5, (0.0, 1.0), 0.0)
    """
    expect_keys(config, [*TOP, *TABLES], "configuration")
    try:
        config = {"seed": 0, "dimension": 3, "copies": 1, "signals": 1, "delay": 0.0, **deepcopy(dict(config))}
    except RecursionError:
        raise refusal("configuration", "lists or tables nested hundreds of levels deep", "a few levels") from None
    span, options = _run(config)
    groups = config["groups"] = _groups(config.get("groups"))
    dimension, signals = as_count(config["dimension"], "dimension"), as_count(config["signals"], "signals")
    copies = as_count(config["copies"], "copies")
    numbers = [group["neurons"] for group in groups]
    if like is not None:
        _expect_sizes({"neurons": sum(numbers), "dimension": dimension, "copies": copies, "signals": signals}, like)
    _expect_room(sum(numbers), dimension, signals, copies)
    config["kernel"] = Kernel.from_dict(config.get("kernel", {})).to_dict()
    config["operators"] = config.get("operators", {})
    expect_keys(config["operators"], [*SHAPES, "activation"], "operators")
    generator = np.random.default_rng(as_count(config["seed"], "seed", minimum=0))
    places = [
        draw_places(g["places"], f"places of {g['name']}", generator, copies, g["neurons"], dimension) for g in groups
    ]
    q = np.concatenate(places, axis=1)
    names, delay = [group["name"] for group in groups], config["delay"]
    strengths = _strengths(config.get("strengths", 1.0), names, copies)
    settings = {
        "delay": _by_pairs(delay, "delay", names, 1)[0] if isinstance(delay, dict) else delay,
        "speed": config.get("speed"),
        "groups": np.repeat(np.arange(len(groups)), numbers),
        "drive": _drive(groups, signals),
        "clamped": {
            k: waveform(group["clamped"], f"clamped of {group['name']}", group["neurons"], signals)
            for k, group in enumerate(groups)
            if "clamped" in group
        },
        "signals": signals,
        "accuracy": config.get("accuracy"),
        "teacher": _teacher(config.get("teacher"), names),
        **_inertia(config),
    }
    kernel, operators = Kernel.from_dict(config["kernel"]), Operators(**config["operators"])
    start = q[0] if copies == 1 else q
    system = System(start, kernel=kernel, operators=operators, strengths=strengths, **settings)
    if "echo_gain" in config:
        wanted, found = as_number(config["echo_gain"], "echo_gain", above=0), echo_gain(system)
        if not 0 < found < np.inf:
            raise refusal("echo_gain", f"{wanted:g}, but the system's own is {found:g}", "A or C above 0")
        # rho(a Phi) is linear in the strengths.
        system = System(
            start, kernel=kernel, operators=operators, strengths=system.strengths * (wanted / found), **settings
        )
    expect_observables(config["run"].get("observables", []), "run observables", system=system)
    if system.warm:
        options["seed"] = config["seed"]
    return Configured(system, span, options, config)


def _teacher(table, names):
    if table is None:
        return None
    expect_keys(table, TEACHER, "teacher")
    for key in ("group", "targets"):
        if key not in table:
            raise ValueError(f"teacher: {key} is missing; give it, or leave out the table.")
    group = names.index(as_choice(table["group"], names, "teacher group"))
    return Teacher(group, **{key: value for key, value in table.items() if key != "group"})


def _inertia(config):
    """Mass, friction and temperature, where the configuration says them."""
    found = {name: config[name] for name in ("mass", "friction", "temperature") if name in config}
    if isinstance(found.get("temperature"), dict):
        table = found["temperature"]
        expect_keys(table, TEMPERATURE, "temperature")
        missing = [name for name in TEMPERATURE if name not in table]
        if missing:
            raise ValueError(f"temperature: {missing[0]} is missing; give both times and values, or a number.")
        found["temperature"] = tuple(table[name] for name in TEMPERATURE)
    return found


def _run(config):
    run = config["run"] = config.get("run", {})
    expect_keys(run, RUN, "run")
    if "until" not in run:
        raise ValueError("run: until is missing; give the end of the time span.")
    run.setdefault("start", 0.0)
    run.setdefault("method", "dopri5")
    span = as_number(run["start"], "run start"), as_number(run["until"], "run until")
    if not span[0] < span[1]:
        raise refusal("run", f"start {span[0]:g} and until {span[1]:g}", "start < until")
    as_choice(run["method"], METHODS, "run method")
    options = {key: run[key] for key in STEPS if key in run}
    if "frames" in run and "every" in run:
        raise refusal("run", "frames and every", "one of them")
    if "frames" in run:
        options["record"] = Times(EvenTimes(*span, as_count(run["frames"], "run frames", minimum=2)))
    elif "every" in run:
        options["record"] = EveryStep(as_count(run["every"], "run every"))
    return span, options


def _groups(groups):
    if not isinstance(groups, list) or not groups:
        raise ValueError("groups: missing; expected at least one [[groups]] with its number of neurons.")
    filled, names = [], set()
    for k, group in enumerate(groups):
        expect_keys(group, GROUP, f"groups[{k}]")
        group = {"name": f"group{k}", "places": {"kind": "normal"}, **group}
        if not isinstance(group["name"], str) or group["name"] in names:
            raise refusal(f"groups[{k}]", f"the name {group['name']!r}", "a text that no other group has")
        if "neurons" not in group and not isinstance(group["places"], dict):
            group["neurons"] = np.shape(group["places"])[-2] if np.ndim(group["places"]) > 1 else 0
        if "neurons" not in group:
            raise ValueError(f"groups[{k}]: neurons is missing; give their number.")
        group["neurons"] = as_count(group["neurons"], f"neurons of {group['name']}")
        names.add(group["name"])
        filled.append(group)
    return filled


def _expect_sizes(made, like):
    as_like(like, made, "Trajectory", "like")
    for name, size in made.items():
        if getattr(like, name) not in (None, size):  # trajectories of trainings have no signals
            raise refusal(f"{name} of the configuration", f"{size:,}", f"{getattr(like, name):,}, as its file has")


def _expect_room(neurons, dimension, signals, copies):
    """Refuse a system that this machine cannot hold, before any of it is made."""
    places, both = copies * neurons * dimension, f"signals = {signals:,} and dimension = {dimension:,}"
    # Drawing and stepping hold several arrays of the size of the places; of the signals there are two.
    run = f"groups: a run of {neurons:,} neurons with {copies:,} copies in dimension {dimension:,}"
    expect_memory(64 * places, run, "use fewer")
    expect_memory(16 * neurons * signals, f"signals: R and E of {neurons:,} neurons and {signals:,}", "use fewer")
    expect_memory(24 * (signals + dimension) ** 2, f"operators: matrices of {both}", "use fewer")


def _strengths(strengths, names, copies):
    """lambda (H, G, G) [from, to] as numbers, a matrix or a table of arrows say."""
    if isinstance(strengths, dict):
        return _by_pairs(strengths, "strengths", names, copies)
    G, array = len(names), np.asarray(strengths, dtype=object)
    return np.full((copies, G, G), as_number(strengths, "strengths")) if array.ndim == 0 else strengths


def _by_pairs(table, name, names, copies):
    """Numbers (copies, G, G) [from, to] of a table {"from->to" = number, or one for each copy}; others are 0."""
    matrix = np.zeros((copies, len(names), len(names)))
    # Spaces do not matter, about an arrow or in names.
    arrows = {"".join(f"{a}->{b}".split()): (i, j) for i, a in enumerate(names) for j, b in enumerate(names)}
    if len(arrows) < len(names) ** 2:
        raise refusal(name, "names of groups that differ in spaces only", "names that differ otherwise")
    for arrow, value in table.items():
        plain = "".join(arrow.split())
        expect_keys({plain: value}, list(arrows), name)
        start, end = arrows[plain]
        values = value if isinstance(value, list) else [value]
        if len(values) not in (1, copies):
            raise refusal(f"{name} {arrow}", f"{len(values)} numbers", f"1 or {copies}, one a copy")
        matrix[:, start, end] = [as_number(number, f"{name} {arrow}") for number in values]
    return matrix


def _drive(groups, signals):
    parts, start = [], 0
    for group in groups:
        if "drive" in group:
            signal = waveform(group["drive"], f"drive of {group['name']}", group["neurons"], signals)
            parts.append((slice(start, start + group["neurons"]), signal))
        start += group["neurons"]
    if not parts:
        return None

    return SignalsOfParts(parts, start, signals)


def draw_places(value, name, generator, copies, neurons, dimension):
    """Return places (H, n, d) as a configuration describes them.

    Either the places themselves, (n, d) for all copies or (H, n, d), or a table: ``kind = "normal"`` with `center`
    and `spread`, or ``kind = "uniform"`` between `low` and `high`; each a number, (d,) or (n, d).

    Raises
    ------
    ValueError, TypeError
        If a key is unknown or a shape does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> table = {"kind": "uniform", "low": 2.0, "high": 2.0}
    >>> draw_places(table, "places", np.random.default_rng(0), 1, 2, 1)
    array([[[2.],
            [2.]]])
    """
    shape = (copies, neurons, dimension)
    if not isinstance(value, dict):
        return _fit(value, name, [shape, shape[1:]], shape)
    kind = as_choice(value.get("kind"), PLACES, f"{name} kind")
    expect_keys(value, ["kind", *PLACES[kind]], f"{name} ({kind})")
    allowed = [shape[1:], shape[2:], ()]
    first, second = (
        _fit(value.get(key, default), f"{name} {key}", allowed, shape) for key, default in PLACES[kind].items()
    )
    if kind == "uniform" and np.any(second < first):
        raise refusal(name, "a high below the low", "low <= high")
    with np.errstate(over="ignore"):
        drawn = first + second * generator.standard_normal(shape) if kind == "normal" else second - first
    if not np.isfinite(drawn).all():
        raise refusal(name, f"{kind} places farther apart than numbers reach", "smaller ones")
    return drawn if kind == "normal" else generator.uniform(first, second, shape)


def _fit(value, name, allowed, shape):
    array = as_array(value, name, dtype=np.float64)
    if array.shape not in allowed:
        wanted = " or ".join(str(option) if option else "a number" for option in allowed)
        raise refusal(name, f"shape {array.shape}", wanted)
    return np.broadcast_to(array, shape)
