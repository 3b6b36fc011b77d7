"""Gauss-Newton fits of relations: derivatives, recovery, and what they promise."""

from dataclasses import replace

import numpy as np
import pytest

from dynsim.kernels import Kernel, relation
from dynsim.learning import fit_weights, gauss_newton
from dynsim.learning._targets import Target, Targets

KERNEL = Kernel("gaussian", length=6.0)


def problem(moments=None):
    """Two targets over common unknowns, one with factors and swapped axes, one with weighted errors."""
    g = np.random.default_rng(0)
    shapes = [(2, 2, 3, 2), (2, 2, 4, 2), (2, 2, 2), (2, 4, 1), (1, 2, 3), (2, 2, 5, 2), (2, 2, 2)]
    x = [g.normal(size=shape) for shape in shapes]
    first = Target(
        KERNEL, g.normal(size=(2, 2, 4, 3)), relations=[(0, 1, 2, False), (0, 1, 2, True)], factors=(3, 4), scale=0.7
    )
    second = Target(KERNEL, g.normal(size=(2, 2, 5, 4)), relations=[(1, 5, 6, False)], scale=g.random((5, 1)))
    if moments:
        root = g.normal(size=(12, 12))
        first.moments = root @ root.T
    return Targets([first, second]), x, [g.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("moments", [False, True])
def test_derivatives_are_central_differences(moments):
    targets, x, v = problem(moments)
    step = 1e-6
    sides = [targets.residual([a + s * b for a, b in zip(x, v, strict=True)]) for s in (step, -step)]
    image = targets.tangent(x, v)
    np.testing.assert_allclose(image, (sides[0] - sides[1]) / (2 * step), rtol=1e-6, atol=1e-7)
    # <J v, r> in the weighted product is <v, J^T r>
    residual = targets.residual(x)
    left = targets.square(image, residual)
    right = sum(float(np.vdot(a, b)) for a, b in zip(v, targets.transposed(x, residual), strict=True))
    assert left == pytest.approx(right, rel=1e-10)


def test_preconditioner_is_the_inverse_of_the_blocks():
    """For one neuron's places, where everything else is held, it inverts J^T J (but for the ridge)."""
    targets, x, _ = problem()
    targets = Targets([targets.targets[1]])
    apply = targets.preconditioner(x, 0.0)
    direction = [np.zeros_like(a) for a in x]
    direction[5][1, :, 3] = np.random.default_rng(1).normal(size=(2, 2))
    scale = targets.targets[0].scale
    targets.targets[0].scale = scale.mean(axis=0) * np.ones_like(scale)  # the blocks know mean weights of a row only
    image = targets.transposed(x, targets.tangent(x, direction))
    image = [a if k == 5 else np.zeros_like(a) for k, a in enumerate(image)]
    ratio = scale[3, 0] / scale.mean()
    back = apply(image)[5][1, :, 3] * ratio
    np.testing.assert_allclose(back, direction[5][1, :, 3], rtol=0.05, atol=0.05)


@pytest.mark.parametrize("sets", ["half", "full"])
def test_places_that_exist_are_found(sets):
    """Weights that places of the same form stand for are fitted, here from a start nearby, to many digits."""
    fitted = fit_weights(
        np.random.default_rng(2).normal(size=(2, 2, 6, 5)), KERNEL, copies=2, dim=2, sets=sets, steps=3
    )
    parts = [(fitted.sources, fitted.targets, fitted.strengths)]
    if sets == "full":
        parts = list(zip(*parts[0], strict=True))
    weights = sum(
        relation(KERNEL, *part).swapaxes(0, 1) if k else relation(KERNEL, *part) for k, part in enumerate(parts)
    )
    g = np.random.default_rng(3)
    for part in parts:
        for array in part:
            array += 0.02 * np.abs(array).mean() * g.normal(size=array.shape)
    again = fit_weights(weights, KERNEL, copies=2, dim=2, sets=sets, steps=60, start=fitted)
    assert again.error < 1e-8


def test_better_than_svd_on_weights_without_structure():
    weights = np.random.default_rng(4).normal(size=(1, 1, 40, 40)).astype(np.float32)
    fitted = fit_weights(weights, KERNEL, copies=2, dim=4, steps=30)
    values = np.linalg.svd(weights[0, 0], compute_uv=False) ** 2
    rank = fitted.floats // 80
    assert fitted.floats == 642 and fitted.error < values[rank:].sum() / values.sum()
    difference = relation(KERNEL, fitted.sources, fitted.targets, fitted.strengths) - weights
    assert fitted.error == pytest.approx(float(np.sum(difference**2) / np.sum(weights**2)), rel=1e-4)


def test_low_rank_beside_never_ends_above_its_svd():
    g = np.random.default_rng(5)
    weights = (g.normal(size=(30, 30)) * 0.7 ** np.arange(30))[None, None]
    fitted = fit_weights(weights, KERNEL, copies=2, dim=1, rank=3, steps=15)
    values = np.linalg.svd(weights[0, 0], compute_uv=False) ** 2
    assert fitted.left.shape == (1, 30, 3) and fitted.right.shape == (3, 1, 30)
    assert fitted.error <= 1.001 * values[3:].sum() / values.sum()


def test_moments_weigh_errors_by_the_outputs():
    g = np.random.default_rng(6)
    weights, inputs = g.normal(size=(1, 1, 20, 20)), g.normal(size=(500, 20)) * np.linspace(0.1, 2, 20)
    moments = inputs.T @ inputs / 500
    errors = []
    for some in (None, moments):
        fitted = fit_weights(weights, KERNEL, copies=2, dim=2, moments=some, steps=25)
        made = relation(KERNEL, fitted.sources, fitted.targets, fitted.strengths)
        errors.append(np.sum((inputs @ (made - weights)[0, 0].T) ** 2))
    assert errors[1] < 0.8 * errors[0]


def test_the_unit_of_lambda_changes_nothing_else():
    weights = np.random.default_rng(9).normal(size=(2, 2, 9, 8))
    one, other = (
        fit_weights(weights, Kernel("gaussian", scale=scale, length=6.0), copies=2, dim=2, sets="full", steps=6)
        for scale in (1.0, 0.25)
    )
    np.testing.assert_array_equal(one.sources, other.sources)
    np.testing.assert_allclose(one.strengths, 0.25 * other.strengths, rtol=1e-15)
    again = fit_weights(weights, replace(KERNEL, scale=0.25), sets="full", start=other, steps=1)
    assert again.error <= other.error == one.error


def test_restarts_keep_the_best_and_nonsense_is_refused():
    weights = np.random.default_rng(7).normal(size=(1, 1, 8, 8))
    one, several = (fit_weights(weights, KERNEL, copies=2, dim=1, steps=8, restarts=n).error for n in (1, 4))
    assert several <= one
    with pytest.raises(ValueError, match="weights: got shape"):
        fit_weights(np.eye(3))
    with pytest.raises(ValueError, match="sets: got"):
        fit_weights(weights, sets="both")
    with pytest.raises(ValueError, match="moments: got shape"):
        fit_weights(weights, moments=np.eye(3))


def test_gauss_newton_ends_where_five_steps_gain_little():
    class Flat:  # 1 + x^4: every step halves x, so the error nears 1 for ever
        def residual(self, x):
            return np.array([1.0, x[0][0] ** 2])

        def tangent(self, x, v):
            return np.array([0.0, 2 * x[0][0] * v[0][0]])

        def transposed(self, x, residual):
            return [np.array([2 * x[0][0] * residual[1]])]

        def square(self, one, other):
            return float(one @ other)

        def preconditioner(self, x, damping):
            return lambda v: v

    def steps(tolerance):
        counted = []
        gauss_newton(Flat(), [np.array([3.0])], steps=40, inner=5, tolerance=tolerance,
                     progress=lambda done, total, error: counted.append(error) and None)  # fmt: skip
        return counted

    for tolerance in (0.5, 0.1):
        errors = steps(tolerance)
        gains = [1 - after / before for before, after in zip(errors, errors[5:])]  # noqa: B905
        assert len(errors) < 40 and gains[-1] < tolerance and all(gain >= tolerance for gain in gains[:-1])


def test_gauss_newton_solves_a_linear_problem_in_one_step():
    class Line:
        matrix, goal = np.random.default_rng(8).normal(size=(9, 4)), np.arange(9.0)

        def residual(self, x):
            return self.matrix @ x[0] - self.goal

        def tangent(self, x, v):
            return self.matrix @ v[0]

        def transposed(self, x, residual):
            return [self.matrix.T @ residual]

        def square(self, one, other):
            return float(one @ other)

        def preconditioner(self, x, damping):
            return lambda v: v

    line = Line()
    (x,), error = gauss_newton(line, [np.zeros(4)], steps=30, inner=10)
    best, rest, *_ = np.linalg.lstsq(line.matrix, line.goal, rcond=None)
    np.testing.assert_allclose(x, best, atol=1e-6)
    assert error == pytest.approx(rest[0], rel=1e-9)
