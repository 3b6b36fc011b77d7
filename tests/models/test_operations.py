"""The operations that `dynsim info` states are those that are done: counted, number by number."""

import numpy as np
import pytest

from dynsim.kernels import Kernel, SortedProduct, _sorted_columns
from dynsim.layers import Conv, Full
from dynsim.models import lenet5, operations
from dynsim.models._count import layer_operations

L1 = Kernel("linear", "l1")


class Number:
    """A float that counts multiply-accumulates: additions, and multiplications that no addition takes in at once."""

    count = 0  # operations so far
    last = None  # the last operation's result, if it was a multiplication

    def __init__(self, value):
        self.value = float(value)

    def __float__(self):
        return self.value

    def _add(self, other, sign):
        if Number.last is None or (Number.last is not self and Number.last is not other):
            Number.count += 1
        Number.last = None
        return Number(self.value + sign * float(other))

    def __add__(self, other):
        return self._add(other, 1.0)

    def __sub__(self, other):
        return self._add(other, -1.0)

    def __mul__(self, other):
        Number.count += 1
        Number.last = Number(self.value * float(other))
        return Number.last

    def __abs__(self):
        return Number(abs(self.value))

    __radd__, __rmul__ = __add__, __mul__


numbers = np.vectorize(Number, otypes=[object])


class Counting:
    """NumPy as the loops use it, with arrays of counting numbers."""

    uint64, float64 = staticmethod(int), staticmethod(lambda number: number)

    @staticmethod
    def empty(shape, dtype=None):
        return numbers(np.zeros(shape))


@pytest.fixture
def counted(monkeypatch):
    """SortedProduct's loops in plain Python on counting numbers; returns the operations of one column."""
    for name in ("_sum_columns", "_copy_block", "_copy_out", "_add_rows", "_sweep_axis"):
        monkeypatch.setattr(_sorted_columns, name, getattr(_sorted_columns, name).py_func)
    monkeypatch.setattr(_sorted_columns, "prange", range)

    def count(sources, targets, x):
        product = SortedProduct(sources, targets)
        s, t = product._sources, product._targets
        out = np.empty((t.count, x.shape[1]), object)
        values, totals = (np.empty((1, side.count, _sorted_columns.COLUMNS), object) for side in (s, t))
        begin = numbers(np.zeros((1, len(s.axes) + 1, _sorted_columns.COLUMNS)))
        before = Number.count
        with monkeypatch.context() as patch:
            patch.setattr(_sorted_columns, "np", Counting)
            _sorted_columns._sum_columns(
                s.axes,
                s.order,
                s.sorted,
                t.order,
                t.sorted,
                t.upto,
                numbers(x),
                2.0,
                values,
                _Zeroed(totals),
                begin,
                out,
            )
        np.testing.assert_allclose(out.astype(float), np.abs(targets[:, None] - sources).sum(axis=2) @ x, rtol=1e-12)
        return (Number.count - before) / x.shape[1]

    return count


class _Zeroed:
    """`totals[copy] = 0` on counting numbers."""

    def __init__(self, array):
        self.array = array

    def __setitem__(self, key, value):
        self.array[key] = numbers(np.zeros(self.array[key].shape))

    def __getitem__(self, key):
        return self.array[key]


def places(g, m, n, d):
    sources, targets = g.normal(size=(m, d)), g.normal(size=(n, d))
    targets[0] = sources.max(axis=0) + 1  # above all sources: none is left out, so the count is reached
    return sources, targets


def test_weight_free(counted):
    g = np.random.default_rng(0)
    for m, n, d in ((5, 4, 3), (1, 1, 1), (7, 2, 2)):
        sources, targets = places(g, m, n, d)
        layer = Full(sources[None], targets[None], [0.5], L1)
        # the layer adds lambda times the product to its signal: one operation for each target
        assert layer_operations(layer, (m,))["weight_free"] == counted(sources, targets, g.normal(size=(m, 3))) + n


def test_dense_and_materialized():
    g = np.random.default_rng(1)
    m, n, d, copies = 4, 3, 2, 2
    sources, targets = g.normal(size=(copies, m, d)), g.normal(size=(copies, n, d))
    layer, strengths = Full(sources, targets, [0.5, -1.0], L1), numbers([0.5, -1.0])
    before = Number.count
    q_in, q_out = numbers(sources), numbers(targets)
    W = [[Number(0) for _ in range(m)] for _ in range(n)]
    for o, i, h in np.ndindex(n, m, copies):
        distance = Number(0)
        for k in range(d):
            distance = distance + abs(q_out[h, o, k] - q_in[h, i, k])
        W[o][i] = W[o][i] + strengths[h] * distance
    making = Number.count - before
    x, before = numbers(g.normal(size=m)), Number.count
    y = [Number(0) for _ in range(n)]
    for o, i in np.ndindex(n, m):
        y[o] = y[o] + W[o][i] * x[i]
    products = Number.count - before
    np.testing.assert_allclose([float(v) for v in y], layer.materialize() @ x.astype(float), rtol=1e-12)
    found = layer_operations(layer, (m,))
    assert found["dense"] == products and found["materialized"] == products + making


def test_convolutions_and_whole_models():
    g = np.random.default_rng(2)
    shapes = {"half": ((3, 2, 4, 2), (3, 2, 5, 2), (3, 3, 2)), "full": ((2, 3, 2, 4, 2), (2, 3, 2, 5, 2), (2, 3, 3, 2))}
    for sets, axes in (("half", 1), ("full", 2)):
        layer = Conv(*(g.normal(size=shape) for shape in shapes[sets]), L1, sets=sets)
        found = layer_operations(layer, (4, 6, 7))
        assert found["dense"] == 5 * 4 * 9 * 4 * 5
        assert found["materialized"] == found["dense"] + axes * 2 * 9 * 20 * 5
        assert found["weight_free"] == axes * 2 * 9 * 20 * (4 * 7 + 5 * 6 + 4)
    dense = 6 * 25 * 28**2 + 16 * 6 * 25 * 10**2 + 400 * 120 + 120 * 84 + 84 * 10
    assert operations(lenet5(kernel=L1))["dense"] == operations(lenet5(weights=True))["weight_free"] == dense
    assert operations(lenet5())["weight_free"] is None
