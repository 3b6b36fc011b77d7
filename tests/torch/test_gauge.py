"""Units of places and lambdas: the same weights, and what noise of an absolute size does to them."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")
from torch import nn  # noqa: E402

from dynsim.kernels import Kernel, relation  # noqa: E402
from dynsim.learning import fit_weights  # noqa: E402
from dynsim.torch import convert, derived_weight, finetune, noisy  # noqa: E402
from dynsim.torch._gauge import in_units  # noqa: E402

KERNELS = [
    Kernel("inverse", softening=0.7), Kernel("linear"), Kernel("linear", "l1", softening=0.3),
    Kernel("gaussian", scale=0.01, length=6.0), Kernel("exponential", length=2.0),
    Kernel("inverse-square", softening=1.0),
]  # fmt: skip


def rms(*arrays):
    return float(np.sqrt(np.mean(np.concatenate([np.ravel(a) for a in arrays]).astype(float) ** 2)))


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: f"{kernel.profile}-{kernel.metric}")
@pytest.mark.parametrize("units", [64.0, 1.0, 300.0])
def test_weights_keep_their_bits(kernel, units):
    weights = np.random.default_rng(0).normal(size=(1, 1, 9, 7)).astype(np.float32)
    fitted = fit_weights(weights, kernel, copies=2, dim=2, rank=1, steps=4)
    other, changed = in_units(fitted, kernel, units)
    places, strengths = rms(other.sources, other.targets), rms(other.strengths)
    assert 0.7 < places / units < 1.42 and 0.7 < strengths / units < 1.42  # a factor of sqrt(2)
    before, after = (relation(k, f.sources, f.targets, f.strengths) for k, f in ((kernel, fitted), (changed, other)))
    # Powers of two change no bits, but for those of a profile that a compiler computes with a reciprocal or a root.
    np.testing.assert_allclose(after, before, rtol=1e-6)
    np.testing.assert_array_equal(
        np.einsum("tor,rsi->tsoi", other.left, other.right), np.einsum("tor,rsi->tsoi", fitted.left, fitted.right)
    )
    assert in_units(fitted, kernel, "fitted") == (fitted, kernel)


def test_expressions_are_left_as_they_are():
    kernel = Kernel("c / (1 + r)")
    fitted = fit_weights(np.random.default_rng(0).normal(size=(1, 1, 9, 7)), kernel, copies=2, dim=2, steps=2)
    other, same = in_units(fitted, kernel, 5.0)
    assert same == kernel and other.sources is fitted.sources


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 10)).eval()


def test_larger_units_stand_more_absolute_noise_and_as_much_relative_noise():
    original, x = net(), torch.randn(200, 40)
    found = {}
    for units in (1.0, 64.0):
        made, report = convert(original, budget=0.6, steps=8, units=units)
        assert report.options["units"] == units
        before = made(x)
        for relative in (False, True):
            with noisy(made, 0.02, relative=relative, include=["0"]), torch.no_grad():
                found[units, relative] = float((made(x) - before).square().mean())
    assert found[64.0, False] < found[1.0, False] / 1000  # 64^2 = 4096, but for powers of two
    assert found[64.0, True] == pytest.approx(found[1.0, True], rel=0.01)


def test_answers_do_not_depend_on_units():
    x = torch.randn(50, 40)
    answers = [convert(net(), budget=0.6, steps=8, units=units)[0](x) for units in (64.0, "fitted", 7.0)]
    for other in answers[1:]:
        torch.testing.assert_close(other, answers[0], rtol=1e-5, atol=1e-5)


def test_training_with_noise_stands_more_of_it():
    original = net()
    x = torch.randn(512, 40)
    made, _ = convert(original, budget=0.6, steps=8)
    results = []
    for noise in (0.0, 0.15):
        trained = copy.deepcopy(made)
        loader = [(part, torch.zeros(len(part), dtype=torch.long)) for part in x.split(64)]
        metrics = finetune(trained, original, loader=loader, epochs=12, labels=0.0, rate=0.01, noise=noise)
        assert len(metrics) == 12
        off = []
        for seed in range(20):
            with noisy(trained, 0.15, seed=seed, relative=True), torch.no_grad():
                off.append(float((trained(x) - original(x)).square().mean()))
        results.append(np.mean(off))
    assert results[1] < results[0]


def test_noise_in_training_leaves_no_trace():
    made, _ = convert(net(), budget=0.6, steps=2)
    before = [p.detach().clone() for p in made.parameters()]
    with pytest.raises(ValueError, match="lower the rates"):
        finetune(made, None, loader=[(torch.zeros(4, 40), None, torch.full((4, 10), torch.nan))], epochs=1, labels=0.0,
                 noise=0.5)  # fmt: skip
    for one, two in zip(before, made.parameters(), strict=True):
        assert torch.equal(one, two)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="units: got -1"):
        convert(net(), units=-1.0)
    with pytest.raises((TypeError, ValueError), match="units"):
        convert(net(), units="metres")
    with pytest.raises(ValueError, match="noise: got -1"):
        finetune(net(), net(), loader=[(torch.zeros(1, 40), torch.zeros(1))], epochs=1, noise=-1)
    assert derived_weight(convert(net(), budget=0.6, steps=2)[0][0]).kernel.profile == "gaussian"
