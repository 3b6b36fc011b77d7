"""What layers get of a budget: by their effect on the answers, in floats or in bytes."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")
from torch import nn  # noqa: E402

from dynsim.torch import (  # noqa: E402
    Curve,
    EightBits,
    NaturalDescent,
    allocate,
    convert,
    derived_weight,
    finetune,
    load_converted,
    materialize,
    noisy,
    save_converted,
)

QUICK = {"copies": 2, "steps": 4}


class Branches(nn.Module):
    """The second branch hardly counts."""

    def __init__(self):
        super().__init__()
        self.loud, self.quiet = nn.Linear(48, 32), nn.Linear(48, 32)

    def forward(self, x):
        return self.loud(x) + 1e-3 * self.quiet(x)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).eval()


@pytest.mark.parametrize("with_example", [True, False])
def test_numbers_go_where_the_answers_change(with_example):
    torch.manual_seed(0)
    module = Branches()
    example = torch.randn(20, 48) if with_example else None
    _, report = convert(module, budget=0.5, example=example, **QUICK)
    loud, quiet = report.layers
    assert quiet.dim == 1 and quiet.rank == 0  # the least that it can have
    assert loud.floats > 6 * quiet.floats


def test_a_table_of_inputs_measures_effects():
    class Called(Branches):
        def forward(self, *, x, scale):
            return {"logits": super().forward(x) * scale}

    torch.manual_seed(0)
    example = {"x": torch.randn(20, 48), "scale": torch.tensor(2.0)}
    _, report = convert(Called(), budget=0.5, example=example, **QUICK)
    loud, quiet = report.layers
    assert quiet.dim == 1 and loud.floats > 6 * quiet.floats


def test_no_choice_of_the_same_cost_is_better():
    """Against all combinations, up to one step of the hulls: what Lagrange's method leaves of a budget."""
    generator = np.random.default_rng(0)
    for trial in range(20):
        curves = []
        for _ in range(3):
            weights = generator.normal(size=(1, 1, 12, 9)) * generator.random(9) ** generator.integers(4)
            curves.append(Curve(weights, step=2, extra=2, bytes_each=4 if trial % 2 else None))
            curves[-1].effect = 10 ** generator.uniform(-2, 1)
        budget = generator.uniform(0.45, 0.9)
        limit = budget * sum(curve.whole for curve in curves)
        chosen = allocate(curves, budget)
        cost = sum(curve.cost(q) for curve, q in zip(curves, chosen, strict=True))
        noise = sum(curve.noise(q) for curve, q in zip(curves, chosen, strict=True))
        assert cost <= limit
        everything = itertools.product(*(curve.choices() for curve in curves))
        costs = [(sum(c for c, _, _ in some), sum(n for _, n, _ in some)) for some in everything]
        # nothing that costs as little has less noise than the hulls have where they stopped, one step of a layer away
        steps = max(max(n for _, n, _ in curve.choices()) for curve in curves)
        assert noise - min(n for c, n in costs if c <= cost) <= steps
        for curve, q in zip(curves, chosen, strict=True):  # and no single layer could have more
            rest = limit - cost + curve.cost(q)
            assert all(n >= curve.noise(q) for c, n, _ in curve.choices() if c <= rest)


def test_bytes_are_kept_below_the_budget_with_layers_in_8_bits(tmp_path):
    module = net()
    whole = sum(p.numel() * p.element_size() for p in module.parameters() if p.dim() > 1)
    made, report = convert(module, budget=0.28, currency="bytes", **QUICK)
    stored = sum(
        part.numel() * part.element_size()
        for layer in (made[0], made[2], made[4])
        for part in [*derived_weight(layer).parameters(), *derived_weight(layer).buffers()]
    )
    assert stored <= 0.28 * whole
    assert report.bytes_share == pytest.approx(stored / whole)
    assert [layer.bits for layer in report.layers] == [8, 8, 8]
    assert max(layer.error for layer in report.layers) < 1e-4  # half a step is the largest weight / 254
    assert "in 8 bits" in str(report)
    x = torch.randn(5, 40)
    torch.testing.assert_close(made(x), module(x), rtol=0.02, atol=0.02)
    torch.testing.assert_close(materialize(made)(x), made(x))


def test_bytes_below_8_bits_are_particles():
    made, report = convert(net(), budget=0.2, currency="bytes", **QUICK)
    assert report.bytes_share <= 0.2
    assert any(layer.bits is None for layer in report.layers)
    assert np.isfinite([layer.error for layer in report.layers]).all()
    assert made(torch.zeros(1, 40)).isfinite().all()


def test_files_hold_weights_of_8_bits(tmp_path):
    program = tmp_path / "net.pt2"
    module = net()
    torch.export.save(torch.export.export(module, (torch.randn(3, 40),)), program)
    from dynsim.torch import load_source

    loaded, source = load_source(program)
    made, report = convert(loaded, budget=0.3, currency="bytes", **QUICK)
    save_converted(made, tmp_path / "net.h5", source=source, report=report)
    again = load_converted(tmp_path / "net.h5")
    x = torch.randn(3, 40)
    torch.testing.assert_close(again(x), made(x), rtol=0, atol=0)
    kept = [part for part in again.modules() if isinstance(part, EightBits)]
    assert len(kept) == 3 and all(part.codes.dtype == torch.int8 for part in kept)


def test_fine_tuning_moves_steps_and_leaves_codes():
    module = net()
    made, _ = convert(module, budget=0.22, currency="bytes", **QUICK)
    kept = next(part for part in made.modules() if isinstance(part, EightBits))
    codes, steps = kept.codes.clone(), kept.steps.detach().clone()
    x = torch.randn(64, 40)
    finetune(made, module, loader=[(x, torch.zeros(64, dtype=torch.long))], epochs=3, rate=0.01, others=0.01)
    assert torch.equal(kept.codes, codes)
    assert not torch.equal(kept.steps, steps)
    assert float((kept.steps.detach() - steps).abs().max() / steps.abs().max()) < 0.2


def test_noise_moves_the_steps_of_8_bits():
    made, _ = convert(net(), budget=0.3, currency="bytes", **QUICK)
    part = derived_weight(made[0])
    before = part.steps.detach().clone()
    with noisy(made, 1e-4):
        assert not torch.equal(part.steps, before)
    assert torch.equal(part.steps, before)


def test_only_particles_move_by_natural_descent():
    made, _ = convert(net(), budget=0.3, currency="bytes", **QUICK)
    with pytest.raises(ValueError, match="no layers of particles"):
        NaturalDescent(made)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="currency: got 'dollars'"):
        convert(net(), currency="dollars")
    with pytest.raises(ValueError, match=r"budget: got 0\.01"):
        convert(net(), budget=0.01, **QUICK)
