"""The table of built-in kernels: every form of each agrees with a formula that stands here only."""

import re

import numpy as np
import pytest

from dynsim import kernels
from dynsim.kernels import PROFILES, Kernel, pair_force, pair_matrix
from dynsim.kernels._cuda import source

FORMULAS = {
    "inverse": lambda r, c, length: c / r,
    "linear": lambda r, c, length: c * r,
    "gaussian": lambda r, c, length: c * np.exp(-0.5 * np.square(r / length)),
    "exponential": lambda r, c, length: c * np.exp(-r / length),
    "inverse-square": lambda r, c, length: c / np.square(r),
}
C, ETA, LENGTH = 1.3, 0.2, 0.8


def kernel(profile, **options):
    return Kernel(profile, **{"scale": C, "softening": ETA, "length": LENGTH, **options})


def formula(profile, rho):
    r = np.sqrt(rho**2 + ETA**2)
    if profile in FORMULAS:
        return FORMULAS[profile](r, C, LENGTH)
    # A profile without a formula of its own here is evaluated by Python, not by the package.
    return eval(PROFILES[profile][0], {**vars(np), "r": r, "c": C, "eta": ETA, "length": LENGTH})


def places(n, m):
    g = np.random.default_rng(0)
    return g.normal(size=(n, 3)), g.normal(size=(m, 3))


def test_every_profile_has_a_line_in_the_documentation():
    assert set(FORMULAS) <= set(PROFILES)
    for name, (expression, note) in PROFILES.items():
        assert re.search(rf"{name} +{re.escape(expression)} +\({re.escape(note)}\)", Kernel.__doc__)
        assert Kernel(name).expression == expression


@pytest.mark.parametrize("profile", PROFILES)
def test_values_and_gradients(profile):
    rho = np.linspace(0, 4, 41)
    np.testing.assert_allclose(kernel(profile).value(rho), formula(profile, rho), rtol=1e-13)
    # Twice the scale is twice the coupling: scale is the unit of coupling strengths.
    np.testing.assert_allclose(kernel(profile, scale=-2 * C).value(rho), -2 * formula(profile, rho), rtol=1e-13)
    sources, targets = places(7, 5)
    rho = np.linalg.norm(targets[:, None] - sources, axis=2)
    np.testing.assert_allclose(pair_matrix(kernel(profile), sources, targets), formula(profile, rho), rtol=1e-12)
    force = pair_force(kernel(profile), sources, targets, np.ones(7), np.ones(5))
    for k in range(3):
        moved = [targets + sign * 1e-6 * np.eye(3)[k] for sign in (1, -1)]
        up, down = (formula(profile, np.linalg.norm(t[:, None] - sources, axis=2)).sum(1) for t in moved)
        # h^2 f''' / 6 and eps |f| / h, relative to forces of size one
        np.testing.assert_allclose(force[:, k], (up - down) / 2e-6, rtol=1e-6, atol=1e-6)


# What float32 calls is tested as such: here for one profile only.
@pytest.mark.parametrize(
    ("profile", "name"),
    [("inverse", "float32")]
    + [(p, t) for p in [*PROFILES, "c / (1 + r)", "minimum(c, r)", "c"] for t in ("bfloat16", "float16")],
)
def test_torch_tensors(profile, name):
    torch = pytest.importorskip("torch")
    from dynsim.torch import relation

    dtype = getattr(torch, name)
    g = np.random.default_rng(1)
    shapes = (1, 2, 6, 3), (1, 2, 5, 3), (1, 1, 2), (1, 1, 5, 6)
    parts = [torch.tensor(g.normal(size=shape), dtype=dtype).requires_grad_() for shape in shapes]
    gradient = parts.pop()
    weights = relation(kernel(profile), *parts)
    weights.backward(gradient)
    arrays = [part.detach().double().numpy() for part in (*parts, gradient)]
    expected = kernels.relation(kernel(profile), *arrays[:3])
    assert weights.dtype == dtype
    # A rounding of each result; the sums have a few terms of size up to c / eta^2, their gradients up to c / eta^3.
    error = 16 * torch.finfo(dtype).eps
    np.testing.assert_allclose(weights.detach().double().numpy(), expected, rtol=error, atol=error)
    for part, force in zip(parts, kernels.relation_forces(kernel(profile), *arrays), strict=True):
        scale = error * max(1, np.abs(force).max())
        np.testing.assert_allclose(part.grad.double().numpy(), force, rtol=error, atol=scale)


@pytest.mark.parametrize("profile", PROFILES)
def test_cuda_source_holds_this_profile_alone(profile):
    texts = [source(kernel(profile, metric=metric), 3, np.float32) for metric in kernels.METRICS]
    bodies = [
        re.findall(r"real (?:value|slope)\(real r2, const real\* numbers\) \{\n(.*?)\n\}", t, re.S) for t in texts
    ]
    assert bodies[0] == bodies[1] and len(bodies[0]) == 2
    for body in bodies[0]:
        assert body.splitlines()[-1].strip().startswith("return ") and "if" not in body
        numbers = [int(place) for place in re.findall(r"numbers\[(\d+)\]", body)]
        assert numbers and max(numbers) < len(kernels.constants(kernel(profile), float))
    others = [source(kernel(other), 3, np.float32) for other in PROFILES if other != profile]
    assert texts[0] not in others


def test_small_systems_choose_among_all_profiles():
    texts = {kernels.row_specialisation(Kernel(profile))[0] for profile in PROFILES}
    assert len(texts) == 1
    q, _ = places(9, 1)
    for number, profile in enumerate(PROFILES):
        expressions, found, metric = kernels.row_specialisation(kernel(profile))
        row = np.empty(9)
        fill_row = getattr(kernels.fill_row, "py_func", kernels.fill_row)
        fill_row(q[0], np.ascontiguousarray(q.T), expressions, found, metric, kernels.constants(kernel(profile), float),
                 row)  # fmt: skip
        assert found == number
        np.testing.assert_allclose(row, formula(profile, np.linalg.norm(q - q[0], axis=1)), rtol=1e-12)
