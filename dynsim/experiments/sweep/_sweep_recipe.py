"""A sweep: a configuration, keys and their values, seeds; its runs and its table."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dynsim import engine
from dynsim._check import as_choice, as_count, as_flag, as_instance, refusal
from dynsim._files import replacing, write_json, write_whole

from .._settings import set_value
from ._sweep_task import COLUMNS, SweepTask

SHOWN = ("E_rms", "R_rms", "spread", "gain")  # in the figure and in what is printed
MOST = 1_000_000  # runs
_SIGNS = ("outcome", "t", "R_rms", "E_rms", "R_largest", "E_largest", "spread", "gain")  # of an effect


@dataclass
class Sweep:
    """Simulations of a configuration in which some keys take several values.

    Parameters
    ----------
    config : dict
        As `dynsim.engine.configure` takes it.
    vary : dict
        {key: values}; keys as "delay", "kernel.softening", "groups.input.drive.height".
    zipped : bool
        The first values of all keys together, then the second, and so on; otherwise every value of one with every
        value of the others.
    seeds : sequence of int, optional
        Each run is repeated with each of them; by default with the configuration's own.
    observables : sequence of str
        What is drawn and printed: some of t, R_rms, E_rms, R_largest, E_largest, spread, gain, steps, rejected,
        evaluations, seconds and frames. The table has all.

    Raises
    ------
    ValueError, TypeError
        If there is nothing to vary, or zipped keys have different numbers of values.

    Examples
    --------
    >>> import tempfile, dynsim
    >>> config = {"groups": [{"neurons": 3}], "operators": {"F": -1.0}, "run": {"until": 1.0}}
    >>> sweep = dynsim.experiments.Sweep(config, {"operators.F": [-1.0, -2.0]}, observables=["spread"])
    >>> results = dynsim.experiments.run(sweep, tempfile.mkdtemp())
    >>> [row["outcome"] for row in sweep.rows(results)]
    ['finished', 'finished']
    """

    config: dict
    vary: Mapping[str, Sequence[Any]]
    zipped: bool = False
    seeds: Sequence[int] | None = None
    observables: Sequence[str] = SHOWN
    title: str = "Sweep"
    kinds: tuple = ("simulation",)

    def __post_init__(self):
        as_instance(self.config, dict, "config")
        as_flag(self.zipped, "zipped")
        if not as_instance(self.vary, Mapping, "vary"):
            raise refusal("vary", "no keys", "at least one key and its values")
        counts = {key: len(as_instance(values, list | tuple, f"vary {key}")) for key, values in self.vary.items()}
        if not all(counts.values()):
            raise refusal("vary", "no values", "at least one for each key")
        if self.zipped and len(set(counts.values())) > 1:
            said = ", ".join(f"{count} of {key}" for key, count in counts.items())
            raise refusal("vary", said, "as many values of each key when they are zipped")
        for name in as_instance(self.observables, list | tuple, "observables"):
            as_choice(name, COLUMNS, "observables")
        self.seeds = None if self.seeds is None else [as_count(seed, "seeds", minimum=0) for seed in self.seeds]
        if self.seeds is not None and "seed" in self.vary:
            raise refusal("seeds", "seeds beside the key seed", "one of them")
        runs = (max(counts.values()) if self.zipped else int(np.prod(list(counts.values())))) * len(self.seeds or [0])
        if runs > MOST:
            raise refusal("vary", f"{runs:,} runs", f"at most {MOST:,}")

    @property
    def data(self) -> str:
        """What its simulations need: nothing."""
        return "no data"

    def check(self, data_dir: str | Path | None = None):
        """Raise before the first run what any configuration is refused for: of each, one step is made."""
        for task in self.tasks():
            try:
                ready = engine.configure(task.config)
                engine.solve(ready.system, ready.span, callback=lambda *_: True, **ready.options)
            except (ValueError, TypeError) as error:
                said = ", ".join(f"{key} = {value!r}" for key, value in task.values.items())
                raise type(error)(f"{error} (with {said})") from None

    def tasks(self) -> list[SweepTask]:
        """The runs, the last key changing first, and with each value all seeds."""
        columns = zip(*self.vary.values(), strict=True) if self.zipped else itertools.product(*self.vary.values())
        found = []
        for values in columns:
            named = dict(zip(self.vary, values, strict=True))
            for seed in self.seeds or [None]:
                config = deepcopy(self.config)
                for key, value in named.items():
                    set_value(config, key, value)
                if seed is not None:
                    config["seed"] = seed
                found.append(SweepTask(len(found), named, config.get("seed", 0), config))
        return found

    def rows(self, results: Mapping[str, dict]) -> list[dict]:
        """The table: a dictionary a finished run, with its values, its seed, what it came to and its file."""
        return [
            {**task.values, "seed": task.seed, **_renamed(results[task.name], task.values), "file": task.file}
            for task in self.tasks()
            if results.get(task.name) is not None
        ]

    def without_effect(self, results: Mapping[str, dict]) -> list[str]:
        """Keys whose values made no difference to any signal or place, where all else was the same."""
        found = []
        for key, values in self.vary.items():
            if self.zipped or len({str(value) for value in values}) < 2:
                continue
            came = {}
            for task in self.tasks():
                if results.get(task.name) is not None:
                    others = tuple(str(value) for name, value in task.values.items() if name != key)
                    seen = tuple(str(results[task.name].get(name)) for name in _SIGNS)
                    came.setdefault((*others, task.seed), []).append(seen)
            several = [seen for seen in came.values() if len(seen) > 1]
            if several and all(len(set(seen)) == 1 for seen in several):
                found.append(key)
        return found

    def report(self, results: Mapping[str, dict], folder: str | Path) -> str:
        """Write sweep.csv, report.json, sweep.png and, where pyarrow is installed, sweep.parquet; returns the table.

        Several seeds are one row in the figure and in the text, as mean and standard deviation.
        """
        from dynsim.plots import save, sweep_figure

        folder, rows = Path(folder), self.rows(results)
        write_whole(folder / "sweep.csv", _csv(rows))
        if find_spec("pyarrow") is not None:
            _write_parquet(rows, folder / "sweep.parquet")
        write_json(folder / "report.json", {"title": self.title, "vary": dict(self.vary), "rows": rows}, indent=1)
        if rows:
            save(sweep_figure(rows, list(self.vary), self.observables, title=self.title), folder / "sweep.png")
        return "\n".join(_lines(rows, list(self.vary), self.observables))


def _renamed(result, values):
    """What a run came to; what is called as a key that is varied gets another name."""
    return {f"{name} at the end" if name in {*values, "seed"} else name: value for name, value in result.items()}


def _csv(rows):
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write_parquet(rows, path):
    import pyarrow
    from pyarrow import parquet

    rows = [{name: value if _is_plain(value) else str(value) for name, value in row.items()} for row in rows]
    with replacing(path) as temporary:
        parquet.write_table(pyarrow.Table.from_pylist(rows), temporary)


def _is_plain(value):
    return value is None or isinstance(value, bool | int | float | str)


def _lines(rows, keys, observables):
    """The table as text, columns under each other; of several seeds mean and standard deviation."""
    grouped = {}
    for row in rows:
        grouped.setdefault(tuple(str(row[key]) for key in keys), []).append(row)
    table = [[*keys, "runs", "outcome", "t", *observables]]
    for values, some in grouped.items():
        outcomes = dict.fromkeys(row["outcome"] for row in some)
        cells = [_spread([row[name] for row in some]) for name in ("t", *observables)]
        table.append([*values, str(len(some)), ", ".join(outcomes), *cells])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def _spread(values):
    """A number, or mean and deviation of several; a dash where one is not finite or not known.

    >>> _spread([1.0]), _spread([1.0, 2.0]), _spread([3.0, 3.0]), _spread([None])
    ('1', '1.5 ± 0.71', '3', '-')
    """
    if any(value is None or not np.isfinite(value) for value in values):
        return "-"
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        return f"{values[0]:.5g}"
    largest = np.abs(values).max()  # whose square may overflow
    return f"{np.mean(values):.5g} ± {largest * np.std(np.divide(values, largest), ddof=1):.2g}"
