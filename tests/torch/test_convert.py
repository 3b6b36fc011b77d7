"""Conversion: every layer is accounted for, budgets are kept, norms are corrected, fits go on."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")

from torch import nn  # noqa: E402

from dynsim import Kernel  # noqa: E402
from dynsim.errors import DataError  # noqa: E402
from dynsim.torch import Curve, Matching, allocate, convert, derived_weight, list_layers, materialize  # noqa: E402

KERNEL = Kernel("gaussian", length=6.0)


class Odd(nn.Linear):
    """A layer that computes in another way than its class."""

    def forward(self, x):
        return super().forward(2 * x)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, groups=2),
        nn.Flatten(),
        nn.Linear(32 * 9, 20),
        nn.TransformerEncoderLayer(20, 4, 32, batch_first=True),
        nn.ConvTranspose1d(1, 1, 3),
        Odd(22, 8),
    ).eval()


@pytest.fixture(scope="module")
def converted():
    return network(), *convert(network(), copies=2, dim=2, steps=6, exclude=["3"])


def test_every_layer_is_in_the_report(converted):
    original, module, report = converted
    reasons = {layer.name: layer.reason for layer in report.layers}
    assert len(reasons) == len(report.layers)
    for name, part in original.named_modules():
        if list(part.parameters(recurse=False)):
            assert any(other.startswith(name) for other in reasons)
    assert reasons["3"] == "excluded" and "norm" in reasons["1"]
    assert reasons["5"] == reasons["8"] == reasons["6.self_attn.in_proj_weight"] == ""
    for layer in report.layers:
        part, _, parameter = layer.name.rpartition(".") if "_weight" in layer.name else (layer.name, "", "weight")
        assert (derived_weight(module.get_submodule(part), parameter) is not None) == layer.converted
    assert type(module[3]) is nn.Conv2d and isinstance(module[8], Odd)
    kept = next(layer.reason for layer in report.layers if layer.name == "7")
    assert "particles would be" in kept  # one channel of three positions
    assert report.parameters == sum(p.numel() for p in module.parameters())
    assert report.parameters_before == sum(p.numel() for p in original.parameters())
    assert all(name in str(report) for name in reasons)
    assert report.to_dict()["layers"][0]["copies"] == 2


def test_errors_are_those_of_the_weights(converted):
    original, module, report = converted
    for name in ("0", "5"):
        weights, made = (net.get_submodule(name).weight.detach() for net in (original, module))
        error = float((made - weights).square().sum() / weights.square().sum())
        layer = next(layer for layer in report.layers if layer.name == name)
        assert layer.error == pytest.approx(error, rel=1e-3) and 0 < layer.svd_error < 1
        assert torch.equal(original.get_submodule("5").bias, module.get_submodule("5").bias)


def test_the_original_is_left_alone_and_the_copy_trains(converted):
    original, module, _ = converted
    fresh = network().state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in original.state_dict().items())
    assert not module.training
    x = torch.randn(2, 3, 7, 7)
    head = module[:6]
    head(x).sum().backward()
    assert all(p.grad is not None for p in head.parameters())
    torch.testing.assert_close(materialize(module)[:6](x), head(x), rtol=0, atol=1e-6)
    layer = module[6]
    assert layer(torch.randn(2, 4, 20)).shape == (2, 4, 20)


def test_a_budget_is_kept_and_goes_where_it_helps():
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 40))
    with torch.no_grad():  # the first layer is nearly of rank 2, the second has no structure
        module[0].weight.copy_(torch.randn(40, 2) @ torch.randn(2, 40) + 0.01 * torch.randn(40, 40))
        module[2].weight.normal_()
    made, report = convert(module, budget=0.5, steps=10)
    first, second = report.layers[0], report.layers[-1]
    assert report.share <= 0.5 and first.floats < second.floats
    assert report.share == (first.floats + second.floats - 80) / 3200
    assert sum(p.numel() for p in made.parameters()) == report.parameters
    assert convert(module, budget=1.5, steps=5)[1].layers[0].reason.startswith("kept")
    with pytest.raises(ValueError, match=r"budget: got 0\.01; expected at least"):
        convert(module, budget=0.01)


def test_allocation_is_greedy_and_within_limits():
    g = np.random.default_rng(0)
    curves = [Curve(g.normal(size=(1, 1, 30, 30)) * g.random(30) ** power, step=2, extra=2) for power in (0, 1, 4)]
    chosen = allocate(curves, 0.5)
    assert sum(c.cost(q) for c, q in zip(curves, chosen, strict=True)) <= 0.5 * 2700
    assert chosen[0] > chosen[2] and all(q % 2 == 0 for q in chosen)
    curve = curves[0]
    curve.gain = curve.measured(4, curve.error(4))
    assert curve.gain == pytest.approx(1.2)  # what was predicted was found


def test_norms_behind_converted_layers_are_corrected():
    """Random images through norms that take the averages of the batch say what a change does to averages of others."""
    torch.manual_seed(2)
    module = nn.Sequential(
        nn.Conv2d(4, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, bias=False), nn.BatchNorm2d(16)
    )
    with torch.no_grad():
        module[1].weight.uniform_(0.5, 1.5)
        module[1].bias.normal_()
    x = nn.functional.interpolate(torch.randn(200, 4, 6, 6), size=12, mode="bilinear")
    module.train()
    for norm in (module[1], module[4]):
        norm.momentum = None  # the average of all
        norm.reset_running_stats()
    module(x)
    module.eval()
    plain, _ = convert(module, copies=2, dim=2, steps=10, include=["3"], correct=False)
    made, report = convert(module, copies=2, dim=2, steps=10, include=["3"])
    assert report.options["norms"] == 2 and report.options["norms_left"] == []
    outputs = made[:4](x).detach()
    for averages, truth in (("running_mean", outputs.mean((0, 2, 3))), ("running_var", outputs.var((0, 2, 3)))):
        before, after = (float((getattr(m[4], averages) - truth).norm()) for m in (plain, made))
        assert after < 0.5 * before


def test_finished_fits_are_taken_from_the_file(tmp_path):
    torch.manual_seed(3)
    module, path = nn.Linear(20, 24), tmp_path / "fits.h5"
    calls = []

    class Stop(Exception):
        pass

    def stop(*arguments, **facts):
        raise Stop

    row = nn.Sequential(module, nn.Linear(24, 20))
    with pytest.raises(Stop):
        convert(row, copies=2, dim=2, steps=5, checkpoint=path, progress=stop)
    whole, _ = convert(row, copies=2, dim=2, steps=5)
    again, _ = convert(row, copies=2, dim=2, steps=5, checkpoint=path, progress=lambda *a, name: calls.append(a))
    assert calls == [(1, 2), (2, 2)]
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    path.write_bytes(b"no file of fits")
    with pytest.raises(DataError, match="not an HDF5 file"):
        convert(row, copies=2, dim=2, steps=5, checkpoint=path)


@pytest.mark.parametrize("options", [{"copies": 2, "dim": 2}, {"budget": 0.5}])
def test_a_stopped_conversion_leaves_the_rest_as_it_is(options):
    torch.manual_seed(3)
    row = nn.Sequential(nn.Linear(20, 24), nn.Linear(24, 20))
    made, report = convert(row, steps=3, progress=lambda done, total, name: True, **options)
    first, second = report.layers
    assert first.converted == ("dim" in options) and not second.converted and "stopped" in second.reason
    assert torch.equal(made[1].weight, row[1].weight) and report.share <= 1.0


def test_what_cannot_be_done_is_said():
    tied = nn.ModuleDict({"table": nn.Embedding(30, 20), "head": nn.Linear(20, 30, bias=False)})
    tied["head"].weight = tied["table"].weight
    made, report = convert(tied, copies=1, dim=1, steps=2)
    assert made["head"].parametrizations.weight is made["table"].parametrizations.weight
    assert len(report.layers) == 1 and report.parameters == sum(p.numel() for p in made.parameters())
    assert report.parameters_before == 600
    with pytest.raises(TypeError, match=r"expected a Module"):
        convert(3)
    with pytest.raises(ValueError, match="a pattern that matches a layer"):
        convert(nn.Linear(3, 3), include=["fc*"])
    with pytest.raises(ValueError, match="expected one of the two"):
        convert(nn.Linear(3, 3), budget=0.5, dim=3)


def test_a_layer_used_twice_stays_one():
    shared = nn.Linear(20, 20)
    made, report = convert(nn.Sequential(shared, nn.ReLU(), shared), copies=1, dim=2, steps=3)
    assert made[0] is made[2] and len(report.layers) == 1


def test_with_a_few_batches_the_outputs_are_matched():
    torch.manual_seed(4)
    module = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding="valid", bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(),
        nn.Linear(16 * 9, 12),
    )  # fmt: skip
    mix = torch.randn(3 * 64, 3 * 64) * torch.logspace(0, -2, 192)  # images whose pixels depend on each other
    images = [(torch.randn(60, 192) @ mix.T).reshape(60, 3, 8, 8) for _ in range(6)]
    module(torch.cat(images))
    module.eval()
    before = [value.clone() for value in module.state_dict().values()]
    errors = []
    for data in (None, images[:4]):
        made, report = convert(module, copies=2, dim=2, steps=10, data=data)
        assert not made.training and not any(part.training for part in made.modules())
        with torch.no_grad():
            errors.append(float((made(images[5]) - module(images[5])).square().mean()))
    assert errors[1] < errors[0] and report.options["norms"] == 2
    first, last = report.layers[0], report.layers[-1]
    assert first.macs == 16 * 27 * 9 and first.macs_to_make == 16 * 27 * 4 and last.macs == 144 * 12
    assert all(torch.equal(a, b) for a, b in zip(before, module.state_dict().values(), strict=True))
    with pytest.raises(ValueError, match="data: got no batches"):
        convert(module, copies=2, dim=2, steps=2, data=[])


def test_the_target_of_a_layer_that_sees_what_it_saw_is_its_weights():
    torch.manual_seed(5)
    module = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(5, 4, (3, 2)))
    batches = [torch.randn(30, 2, 6, 6).double() for _ in range(2)]
    module.double()
    entry = list_layers(module)[1]
    weights, metric = Matching(module, module, batches=batches).target(entry)
    np.testing.assert_allclose(weights, entry.weights, atol=1e-9)
    # and errors in the metric are those of the outputs, but for the ridge
    change = np.random.default_rng(0).normal(size=entry.weights.shape)
    moved = copy.deepcopy(module)
    with torch.no_grad():
        moved[2].weight += torch.from_numpy(change.transpose(2, 3, 0, 1))
        difference = torch.cat([moved(x) - module(x) for x in batches])
    variance = float(difference.var((0, 2, 3), correction=0).sum())
    rows = change.transpose(2, 0, 1, 3).reshape(4, -1)
    size, count = len(metric), 60 * 4 * 5
    share = 0.3 + 2.0 * size / count  # of the mean variance, which the trace now holds
    ridge = share / (1 + share) * np.trace(metric) / size
    np.testing.assert_allclose(np.sum((rows @ (metric - ridge * np.eye(size))) * rows), variance, rtol=1e-9)


def test_copies_are_chosen_layer_by_layer():
    torch.manual_seed(1)
    # One layer is of rank 2, for which two copies of one axis nearly do; the others have no structure.
    flat = nn.Linear(40, 40)
    with torch.no_grad():
        flat.weight.copy_(torch.randn(40, 2) @ torch.randn(2, 40))
    net = nn.Sequential(flat, nn.Linear(40, 40), nn.Linear(40, 40))
    _, report = convert(net, budget=0.5, rank=0, copies=[2, 4])
    assert {layer.copies for layer in report.layers if layer.converted} <= {2, 4}
    assert report.share <= 0.5 and report.options["copies"] == [2, 4]
    several = sum(layer.error * layer.weights for layer in report.layers if layer.converted)
    for copies in (2, 4):
        _, one = convert(net, budget=0.5, rank=0, copies=copies)
        assert {layer.copies for layer in one.layers if layer.converted} == {copies} and one.share <= 0.5
        # The sum is not what is made small (see `allocate`), but the choice never costs much of it.
        assert several <= 1.1 * sum(layer.error * layer.weights for layer in one.layers if layer.converted)
    with pytest.raises(ValueError, match="one number beside dim"):
        convert(net, dim=2, copies=[2, 4])
    with pytest.raises(ValueError, match="copies: got"):
        convert(net, copies=[])


def test_budgets_of_all_sizes_are_kept():
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(8, 12, 3), nn.ReLU(), nn.Conv2d(12, 20, 3), nn.Flatten(), nn.Linear(20, 30))
    for budget in (0.3, 0.37, 0.52, 0.8):
        for options in ({}, {"rank": 0}, {"sets": "full"}, {"copies": [2, 3, 5]}):
            _, report = convert(net, budget=budget, steps=2, **options)
            assert report.share <= budget
