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
    WeightLayout,
    _allocation,
    allocate,
    convert,
    derived_weight,
    finetune,
    list_layers,
    load_converted,
    load_source,
    materialize,
    modularise,
    noisy,
    save_converted,
)
from dynsim.torch._eight_bits import rounding  # noqa: E402

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
            options = {"bytes_each": 4, "rounding": 1e-5} if trial % 2 else {}
            curves.append(Curve(weights, step=2, extra=2, **options))
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


def test_programs_have_their_effects_measured_on_noise_of_the_shape_they_take():
    torch.manual_seed(0)
    for example in (torch.randn(300, 48), torch.randn(2, 48)):  # for one number of inputs only
        program = modularise(torch.export.export(Branches().eval(), (example,)))
        for options in ({}, {"example": example}):
            _, report = convert(program, budget=0.5, **QUICK, **options)
            found = {layer.name: layer for layer in report.layers if layer.converted}
            assert found["quiet"].dim == 1 and found["loud"].floats > 6 * found["quiet"].floats
    images = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3)).eval()
    program = modularise(torch.export.export(images, (torch.randn(2, 3, 9, 14),)))
    _, report = convert(program, budget=0.6, **QUICK)
    assert report.options["norms"] == 1 and report.options["norms_left"] == []


def test_programs_of_tokens_are_converted():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Embedding(50, 24), nn.Linear(24, 50)).eval()
    program = modularise(torch.export.export(net, (torch.randint(50, (4, 6)),)))
    made, report = convert(program, budget=0.5, **QUICK)
    assert all(layer.converted for layer in report.layers if layer.shape)
    assert made(torch.randint(50, (4, 6))).shape == (4, 6, 50)


def test_what_the_budget_pays_whole_is_kept():
    torch.manual_seed(0)
    for n, m in ((64, 128), (32, 56), (40, 40)):
        _, report = convert(nn.Sequential(nn.Linear(n, m, bias=False)), budget=1.0, steps=4)
        assert not report.layers[0].converted and report.layers[0].reason.startswith("kept: the budget has room")


class Gated(nn.Module):
    """The first number of an input says which layer counts."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(48, 32), nn.Linear(48, 32)

    def forward(self, x):
        first = (x[:, :1] > 0).float()
        return first * self.one(x) + (1 - first) * self.other(x)


def test_effects_are_those_of_the_data_where_there_are_any():
    torch.manual_seed(0)
    x = torch.randn(40, 48)
    low, high = (torch.cat([sign * x[:, :1].abs(), x[:, 1:]], 1) for sign in (-1, 1))
    _, report = convert(Gated(), budget=0.5, data=[low], example=high, **QUICK)
    assert report.layers[1].floats > report.layers[0].floats


class InPlace(nn.Sequential):
    """Changes its input."""

    def forward(self, x):
        return super().forward(x.sub_(1.0))


def test_inputs_are_left_as_they_are():
    torch.manual_seed(0)
    x = torch.randn(30, 40)
    before = x.clone()
    convert(InPlace(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 20)), budget=0.5, data=[x], **QUICK)
    assert torch.equal(x, before)


class Reduced(nn.Sequential):
    """Answers with what `reduce` makes of its scores."""

    def forward(self, x):
        return self.reduce(super().forward(x))


@pytest.mark.parametrize("reduce", [lambda y: y.mean(), lambda y: y[:, 0]], ids=["number", "vector"])
def test_answers_may_have_one_axis_or_none(reduce):
    torch.manual_seed(0)
    module = Reduced(nn.Linear(40, 30), nn.Linear(30, 20))
    module.reduce = reduce
    _, report = convert(module, budget=0.5, example=torch.randn(9, 40), **QUICK)
    assert any(layer.converted for layer in report.layers)


def test_the_budget_that_a_refusal_names_is_enough():
    module = nn.Linear(37, 41, bias=False)
    with pytest.raises(ValueError, match="expected at least") as refused:
        convert(module, budget=0.01, **QUICK)
    least = float(str(refused.value).split("at least ")[1].split(",")[0])
    assert convert(module, budget=least, **QUICK)[1].share <= least


def test_8_bits_of_small_halves_and_of_padding():
    weight = torch.full((4, 4), 3e-6, dtype=torch.float16)  # whose step is no number of 16 bits
    assert rounding(WeightLayout((4, 4)), weight) == 1.0
    table = nn.Embedding(60, 24, padding_idx=3)
    with torch.no_grad():
        table.weight[3] = 1.0
    made, report = convert(table, budget=0.3, currency="bytes", **QUICK)
    assert report.layers[0].bits is None and torch.equal(made.weight[3], table.weight[3])


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="currency: got 'dollars'"):
        convert(net(), currency="dollars")
    with pytest.raises(ValueError, match=r"budget: got 0\.01"):
        convert(net(), budget=0.01, **QUICK)


@pytest.mark.parametrize("sets", ["half", "full"])
def test_the_planner_counts_what_forms_have_and_leaves_nothing_that_a_layer_could_use(sets):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(16, 24, 3), nn.Conv2d(24, 32, 3), nn.Conv2d(32, 32, 1), nn.Linear(48, 40))
    entries = list_layers(net)
    curves = []
    for entry in entries:
        step, extra, used = _allocation._steps(entry, None, sets)
        curves.append(Curve(entry.weights, step=step, extra=extra, used=used))
    for budget in (0.35, 0.5, 0.75):
        spent, chosen = 0, allocate(curves, budget)
        for entry, curve, q in zip(entries, curves, chosen, strict=True):
            (form,) = _allocation._forms(entry, q, (0.0,), None, sets, None)
            floats = min(_allocation.floats_of(entry, (*form.sizes, []), sets), entry.size)
            assert floats == curve.cost(q) and (floats == entry.size) == curve.kept(q)
            spent += floats
        left = budget * sum(entry.size for entry in entries) - spent
        assert left >= 0
        for curve, q in zip(curves, chosen, strict=True):
            dearer = [cost for cost, _, _ in curve.choices() if cost > curve.cost(q)]
            assert not dearer or min(dearer) - curve.cost(q) > left


def test_copies_are_two_to_eight_times_the_dimension():
    for q in range(4, 400, 2):
        copies, dim = _allocation.balanced(q)
        assert copies % 2 == 0 and copies * dim <= q
        assert 2 * dim <= copies <= 8 * dim or (dim == 1 and q < 8)
