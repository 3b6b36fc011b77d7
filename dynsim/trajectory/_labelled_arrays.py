"""Trajectories and solutions as labelled arrays of xarray and tables of pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dynsim.engine import Solution, neuron_masses

if TYPE_CHECKING:
    import pandas
    import xarray

REMEDY = "pip install 'dynsim[xarray]'"


def to_xarray(source: Any) -> xarray.Dataset:
    """Return an xarray.Dataset of a `Trajectory` or a `Solution`; what is in a file is read when it is used.

    Variables: `q` (time, copy, neuron, axis), without `copy` where there is one; of neurons with mass `velocity`, as q,
    and `mass` (neuron); `R` and `E` (time, neuron, signal); observables (time). Coordinates: `time`, `neuron`, and
    `group`, the name of each neuron's group. A Trajectory has to
    stay open as long as numbers are read.

    Raises
    ------
    ImportError
        If xarray is not installed.

    Examples
    --------
    >>> import dynsim
    >>> solution = dynsim.solve(dynsim.System(np.eye(2)), (0.0, 1.0), t_eval=[0.0, 0.5, 1.0])
    >>> dict(to_xarray(solution).sizes)  # doctest: +SKIP
    {'time': 3, 'neuron': 2, 'axis': 2, 'signal': 1}
    """
    try:
        import xarray
    except ImportError:
        raise ImportError(f"Labelled arrays need xarray: {REMEDY}") from None
    solution = isinstance(source, Solution)
    time, copies, dimension = (
        (source.t, *_sizes(source)) if solution else (source.time, source.copies, source.dimension)
    )
    neurons = source.system.neurons if solution else source.neurons
    shape = (copies, neurons, dimension) if copies > 1 else (neurons, dimension)
    dims = ("time", "copy", "neuron", "axis") if copies > 1 else ("time", "neuron", "axis")
    found = {"q": (dims, _lazy(source.q, (len(time), *shape)))}
    if source.velocity is not None:
        found["velocity"] = (dims, _lazy(source.velocity, (len(time), *shape)))
        found["mass"] = (("neuron",), neuron_masses(source.system) if solution else source.mass[:neurons])
    for name in ("R", "E"):
        signals = getattr(source, name)
        if signals is not None:
            found[name] = (("time", "neuron", "signal"), _lazy(signals, (len(time), *signals.shape[1:])))
    for name, values in ({} if solution else source.observables).items():
        found[name] = (("time",), values)
    coordinates = {
        "time": np.asarray(time),
        "neuron": np.arange(neurons),
        "group": ("neuron", _groups(source, solution)),
    }
    return xarray.Dataset(found, coordinates, _attributes(source, solution))


def to_pandas(source: Any) -> pandas.DataFrame:
    """Return a pandas.DataFrame of a `Trajectory` or a `Solution`: a row for every neuron (and copy) in every frame.

    The index is (time, neuron), or (time, copy, neuron); columns are `group`, q_0, q_1, ..., of neurons with mass
    velocity_0, ..., then R_0, ..., E_0, ... All of it is read into memory.

    Raises
    ------
    ImportError
        If pandas or xarray is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise ImportError(f"Tables need pandas: {REMEDY}") from None
    dataset = to_xarray(source)
    q = dataset.q.values
    names = [name for name in ("time", "copy", "neuron") if name in dataset.q.dims]
    levels = [np.arange(dataset.sizes[name]) if name == "copy" else dataset[name].values for name in names]
    table = {"group": np.broadcast_to(dataset.group.values, q.shape[:-1]).ravel()}
    for name in ("q", "velocity"):
        if name in dataset:
            values = dataset[name].values
            table |= {f"{name}_{k}": values[..., k].ravel() for k in range(q.shape[-1])}
    for name in ("R", "E"):
        if name in dataset:
            signals = dataset[name].values
            for k in range(signals.shape[-1]):
                values = signals[..., k] if "copy" not in names else signals[:, None, :, k]
                table[f"{name}_{k}"] = np.broadcast_to(values, q.shape[:-1]).ravel()
    return pandas.DataFrame(table, pandas.MultiIndex.from_product(levels, names=names))


def _sizes(solution):
    """Copies and dimension of a solution."""
    return (solution.q.shape[1] if solution.q.ndim == 4 else 1), solution.q.shape[-1]


def _groups(source, solution):
    """The name of each neuron's group, or its number."""
    if solution:
        groups = source.system.groups
        return np.zeros(source.system.neurons, int) if groups is None else groups
    numbers = source.groups[: source.neurons]
    config = source.parameters.get("config")
    listed = config.get("groups") if isinstance(config, dict) else source.parameters.get("groups")
    names = [group.get("name") if isinstance(group, dict) else group for group in listed or []]
    if not all(isinstance(name, str) for name in names) or len(names) <= numbers.max(initial=-1):
        return numbers
    return np.array(names)[numbers]


def _attributes(source, solution):
    """Numbers and texts that a file of xarray can hold, too."""
    if solution:
        system = source.system
        delay = np.ravel(system.delay).squeeze().tolist()
        return {"method": source.method, "delay": delay, "kernel": system.kernel.profile}
    found = {"file": str(source.path)}
    if source.seed is not None:
        found["seed"] = source.seed
    return found


def _lazy(values, shape):
    """What xarray reads of frames on disk when it is used; arrays stay as they are."""
    if isinstance(values, np.ndarray):
        return values
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class LazyFrames(BackendArray):
        """Frames, read as they are sliced."""

        def __init__(self):
            self.shape, self.dtype = shape, values.dtype

        def __getitem__(self, key):
            return indexing.explicit_indexing_adapter(key, shape, indexing.IndexingSupport.BASIC, self._read)

        def _read(self, key):
            first, *rest = key
            one = not isinstance(first, slice)
            block = values[first : first + 1] if one else values[first]
            block = block.reshape(len(block), *shape[1:])
            return block[(0 if one else slice(None), *rest)]

    return indexing.LazilyIndexedArray(LazyFrames())
