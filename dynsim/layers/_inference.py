"""How a layer of particles computes its product: with its weights, with a tile of them at a time, or without any.

The choice is by cost. The machine's rates are measured once, which takes a second, and kept in the user's cache folder.
"""

from __future__ import annotations

import os
import statistics
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from dynsim._check import as_choice, as_count, as_flag, as_instance, refusal
from dynsim._files import read_json, write_json
from dynsim.errors import FileError
from dynsim.kernels import Kernel, SortedProduct, relation

INFERENCE = ("auto", "dense", "tiled", "weight-free")
LARGEST = 2**28  # weights that are held at once: 1 GiB in float32


@dataclass(frozen=True)
class Rates:
    """Operations a second of this machine.

    `products`: multiply-accumulates of BLAS; `vector`: those of a product with one vector, which waits for memory;
    `pairs`: pair terms times axes when weights are made; `passes`: neurons times axes times right-hand sides of a
    sorted sum; `single`: neurons times axes of one with a single vector; `sorts`: neurons times axes that are sorted.
    """

    products: float = 5e10
    vector: float = 3e9
    pairs: float = 3e9
    passes: float = 1e9
    single: float = 2e8
    sorts: float = 1e7


def is_sortable(kernel: Kernel) -> bool:
    """Whether sums with this kernel can be sorted: the linear one of l1 distances without softening.

    >>> is_sortable(Kernel("linear", "l1")), is_sortable(Kernel())
    (True, False)
    """
    return kernel.profile == "linear" and kernel.metric == "l1" and not kernel.softening


def choose(
    inference: str,
    kernel: Kernel,
    *,
    m: int,
    n: int,
    d: int,
    copies: int,
    columns: int,
    offsets: int = 1,
    kept: bool = False,
    rates: Rates | None = None,
) -> str:
    """Return dense, tiled or weight-free for a product of (n, m) weights with `columns` vectors.

    A convolution has a matrix for each of k k `offsets`. With `kept` the weights, or the order of the places, are there
    already, as in what `prepare` returns.

    Raises
    ------
    ValueError
        If `inference` is unknown, or weight-free is asked of a kernel that cannot.

    Examples
    --------
    >>> choose("auto", Kernel("linear", "l1"), m=400, n=120, d=9, copies=2, columns=64, rates=Rates())
    'dense'
    >>> large = {"m": 40_000, "n": 30_000, "d": 3, "copies": 1, "columns": 1, "rates": Rates()}
    >>> choose("auto", Kernel("linear", "l1"), **large), choose("auto", Kernel(), **large)
    ('weight-free', 'tiled')
    """
    as_choice(inference, INFERENCE, "inference")
    as_instance(kernel, Kernel, "kernel")
    for name, value in {"m": m, "n": n, "d": d, "copies": copies, "columns": columns, "offsets": offsets}.items():
        as_count(value, name, minimum=0)
    as_flag(kept, "kept")
    if rates is not None:
        as_instance(rates, Rates, "rates")
    if inference == "weight-free" and not is_sortable(kernel):
        wanted = "the linear kernel of l1 distances without softening"
        raise refusal("inference", f"weight-free with {kernel}", wanted, "use tiled, which holds few weights at a time")
    if inference != "auto":
        return inference
    if not is_sortable(kernel):  # nothing depends on the machine
        return "dense" if m * n * offsets <= LARGEST else "tiled"
    sizes = {"m": m, "n": n, "d": d, "copies": copies, "columns": columns, "offsets": offsets}
    found = costs(kernel, **sizes, kept=kept, rates=rates)
    return min(found, key=found.get)


def costs(
    kernel: Kernel, *, m: int, n: int, d: int, copies: int, columns: int, offsets: int = 1, kept: bool = False,
    rates: Rates | None = None,
) -> dict[str, float]:  # fmt: skip
    """Seconds that each way takes, by the rates (default: this machine's); arguments as of `choose`.

    Examples
    --------
    >>> sorted(costs(Kernel(), m=10, n=10, d=3, copies=1, columns=1, rates=Rates()))
    ['dense', 'tiled']
    """
    rates = rates or machine_rates()
    weights, neurons = m * n * offsets, (m + n) * d * copies * offsets
    product = weights * columns / (rates.vector if columns == 1 else rates.products)
    made = weights * copies * d / rates.pairs
    # A tile at a time costs the same work and a little more; it is chosen where the whole would not fit.
    found = {"dense": (0 if kept else made) + product, "tiled": 1.05 * (made + product)}
    if weights > LARGEST:
        found["dense"] = np.inf
    if is_sortable(kernel):
        passes = neurons / rates.single if columns == 1 else neurons * columns / rates.passes
        found["weight-free"] = (0 if kept else neurons / rates.sorts) + passes
    return found


def machine_rates() -> Rates:
    """The rates of this machine: from the cache, else measured now."""
    global _RATES
    if _RATES is None:
        _RATES = _cached() or calibrate()
    return _RATES


_RATES = None


def cache_file() -> Path:
    """Where the rates are kept.

    >>> cache_file().name
    'rates.json'
    """
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "dynsim" / "rates.json"


def calibrate() -> Rates:
    """Measure the rates and keep them, unless the cache cannot be written."""
    rates = Rates(*(_rate(*case) for case in _cases()))
    with suppress(OSError):
        cache_file().parent.mkdir(parents=True, exist_ok=True)
        write_json(cache_file(), {"cores": os.cpu_count(), **asdict(rates)})
    return rates


def _cached():
    with suppress(OSError, FileError, ValueError, TypeError, KeyError, AttributeError):
        stored = read_json(cache_file())
        if stored.pop("cores") == os.cpu_count() and stored.keys() == asdict(Rates()).keys():
            return Rates(**{name: float(value) for name, value in stored.items()})
    return None


def _cases():
    """(function, operations) in the order of Rates."""
    generator = np.random.default_rng(0)
    W = generator.random((1500, 1500), dtype=np.float32)
    X = generator.random((1500, 128), dtype=np.float32)
    q = generator.random((1, 1, 1500, 3), dtype=np.float32)
    one, product = np.ones((1, 1, 1), np.float32), SortedProduct(q[0, 0], q[0, 0])
    yield lambda: W @ X, W.size * 128
    yield lambda: W @ X[:, 0], W.size
    yield lambda: relation(Kernel("linear", "l1"), q, q, one), W.size * 3
    yield lambda: product.forward(X), 2 * 1500 * 3 * 128
    yield lambda: product.forward(X[:, 0]), 2 * 1500 * 3
    yield lambda: SortedProduct(q[0, 0], q[0, 0]), 2 * 1500 * 3


def _rate(function, operations):
    """From the fastest of some calls: what other programs take away is not the machine's rate."""
    return operations / min(_seconds(function, 7, 1))


def median_seconds(function, repeats: int, *, warm: int = 1) -> float:
    """Median seconds of a call, after `warm` calls that are not counted, since they may compile.

    >>> median_seconds(list, 3) >= 0
    True
    """
    return statistics.median(_seconds(function, repeats, warm))


def _seconds(function, repeats, warm):
    for _ in range(warm):
        function()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return times
