"""Tangents and normal matrices of relations against central differences and plain NumPy."""

import numpy as np
import pytest

from dynsim.kernels import PROFILES, Kernel, relation, relation_forces, relation_normal, relation_tangent

T, S, H, N, M, D = 2, 3, 2, 4, 5, 3  # d = 3 as in the other tests of kernels: nothing is compiled twice


def subsystem(seed, dtype=np.float64):
    g = np.random.default_rng(seed)
    shapes = (S, H, M, D), (T, H, N, D), (T, S, H)
    return [g.normal(size=shape).astype(dtype) for shape in shapes]


CASES = [(profile, "l2") for profile in PROFILES] + [("linear", "l1")]


@pytest.mark.parametrize(("profile", "metric"), CASES)
def test_tangent_is_the_slope_along_a_direction(profile, metric):
    kernel = Kernel(profile, metric, softening=0.5)
    places, direction = subsystem(0), subsystem(1)
    step = 1e-6
    sides = [relation(kernel, *(p + s * v for p, v in zip(places, direction, strict=True))) for s in (step, -step)]
    # central difference: step^2 f''' / 6 and eps |f| / step; weights and derivatives are of size one
    np.testing.assert_allclose(
        relation_tangent(kernel, *places, *direction), (sides[0] - sides[1]) / (2 * step), rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize(("profile", "metric"), [("inverse", "l2"), ("linear", "l1")])
def test_tangent_and_forces_are_adjoint(profile, metric):
    """<J v, w> = <v, J^T w>."""
    kernel, places, direction = Kernel(profile, metric, softening=0.5), subsystem(2), subsystem(3)
    w = np.random.default_rng(4).normal(size=(T, S, N, M))
    forces = relation_forces(kernel, *places, w)
    left = np.sum(relation_tangent(kernel, *places, *direction) * w)
    assert left == pytest.approx(sum(np.sum(f * v) for f, v in zip(forces, direction, strict=True)), rel=1e-12)


@pytest.mark.parametrize(("profile", "metric"), [("inverse", "l2"), ("linear", "l1")])
def test_normal_matrix_is_jacobian_squared(profile, metric):
    kernel, (sources, targets, strengths) = Kernel(profile, metric, softening=0.5), subsystem(5)
    normal = relation_normal(kernel, sources, targets, strengths)
    for t, o in [(0, 0), (1, 3)]:
        columns = []
        for h, k in np.ndindex(H, D):
            direction = np.zeros_like(targets)
            direction[t, h, o, k] = 1.0
            change = relation_tangent(
                kernel, sources, targets, strengths, np.zeros_like(sources), direction, np.zeros_like(strengths)
            )
            columns.append(change[t, :, o].ravel())
        jacobian = np.array(columns).T
        square = jacobian.T @ jacobian
        np.testing.assert_allclose(normal[t, o, 0], square, rtol=1e-12, atol=1e-14)
        blocks = relation_normal(kernel, sources, targets, strengths, groups=H)[t, o]
        for h, block in enumerate(blocks):
            np.testing.assert_allclose(block, square[h * D :, h * D :][:D, :D], rtol=1e-12, atol=1e-14)


def test_float32_stays_and_nonsense_is_refused():
    places, direction = subsystem(6, np.float32), subsystem(7, np.float32)
    kernel = Kernel(softening=0.5)
    assert relation_tangent(kernel, *places, *direction).dtype == np.float32
    assert relation_normal(kernel, *places).dtype == np.float32
    exact = relation_tangent(kernel, *(a.astype(float) for a in places), *(a.astype(float) for a in direction))
    # sums of H d = 6 terms of size up to 1 / softening^3, in float32
    np.testing.assert_allclose(relation_tangent(kernel, *places, *direction), exact, atol=6 * 8 * 4e-7)
    with pytest.raises(ValueError, match="dtargets: got shape"):
        relation_tangent(kernel, *places, direction[0], direction[0], direction[2])
