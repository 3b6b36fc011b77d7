"""Layers matched on a few inputs: what they leave alone, and what they bring nearer."""

import copy

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")

from torch import nn  # noqa: E402

from dynsim.torch import Matching, convert, list_layers, random_inputs  # noqa: E402
from dynsim.torch._bias_corrections import correct_biases  # noqa: E402
from dynsim.torch._layer_list import named_weights  # noqa: E402
from dynsim.torch._watching import NORMS  # noqa: E402


def trained():
    """A small network whose norms know another distribution than that of the inputs below."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 12, 3, bias=False), nn.BatchNorm2d(12), nn.ReLU(),
        nn.Conv2d(12, 12, 3, bias=False), nn.BatchNorm2d(12), nn.ReLU(), nn.Flatten(), nn.Linear(192, 5),
    )  # fmt: skip
    for _ in range(20):
        net(torch.randn(64, 3, 8, 8) * 1.3 + 0.2)
    return net.eval()


def smooth_images(count):
    """Images whose neighbouring pixels are alike: in white noise a layer's inputs would not say what matters to it."""
    return nn.functional.interpolate(torch.randn(count, 3, 3, 3), size=8, mode="bilinear") * 1.3 + 0.2


def test_a_module_that_was_not_changed_is_left_as_it_is():
    net = trained()
    module = copy.deepcopy(net)
    assert Matching(net, module, batches=[torch.randn(3, 3, 8, 8)]).correct_averages() == ["1", "4"]
    for one, two in zip(net.state_dict().values(), module.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-7)


def test_norms_take_over_what_a_change_does_to_their_inputs():
    net = trained()
    module = copy.deepcopy(net)
    with torch.no_grad():
        module[0].weight *= 2.0
    matching = Matching(net, module, batches=[torch.randn(40, 3, 8, 8)])
    assert matching.correct_averages("0") == [] and matching.correct_averages("3") == ["1"]
    torch.testing.assert_close(module[1].running_var, 4 * net[1].running_var)
    assert matching.correct_averages() == ["1", "4"]
    torch.testing.assert_close(module[4].running_var, net[4].running_var, rtol=1e-4, atol=0)
    x = torch.randn(7, 3, 8, 8)
    torch.testing.assert_close(module(x), net(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("norms", [True, False])
def test_a_few_inputs_bring_the_answers_nearer(norms):
    net, x = trained(), smooth_images(800)
    few, rest = x[:400], x[400:]
    errors, corrected = [], []
    for data in (None, [few]):
        module, report = convert(net, copies=2, dim=2, steps=20, data=data, correct=norms)
        corrected.append(report.options["norms"])
        with torch.no_grad():
            errors.append(float((module.eval()(rest) - net(rest)).square().mean() / net(rest).var()))
    assert errors[1] < 0.5 * errors[0]
    assert corrected == ([2, 2] if norms else [0, 0])


def without_norms():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 12, 3), nn.ReLU(), nn.Conv2d(12, 12, 3), nn.ReLU(), nn.Flatten(), nn.Linear(192, 20), nn.ReLU(),
        nn.Linear(20, 5),
    ).eval()  # fmt: skip


@pytest.mark.parametrize("given", [False, True])
def test_networks_without_norms_have_their_biases_corrected(given):
    net, x = without_norms(), smooth_images(800)
    few, rest = x[:400], x[400:] if given else random_inputs(net)[0]  # what they are corrected for
    errors, corrected, shifts = [], [], []
    for correct in (False, True):
        module, report = convert(net, copies=2, dim=2, steps=20, data=[few] if given else None, correct=correct)
        corrected.append(report.options["biases"])
        with torch.no_grad():
            errors.append(float((module(rest) - net(rest)).square().mean() / net(rest).var()))
            difference = module[:6](rest) - net[:6](rest)  # the outputs of the last layer that becomes particles
            shifts.append(float(difference.mean(0).square().sum()))
    converted = sum(layer.converted for layer in report.layers)
    assert corrected == [0, converted] and converted >= 3
    assert shifts[1] < (0.5 if given else 1e-9) * shifts[0]  # on other inputs of the kind, and on the same
    assert errors[1] < errors[0]


def test_only_the_first_bias_is_wrong():
    """One pass is enough: a layer's outputs are compared after those before it were corrected."""
    net = without_norms()
    module, x = copy.deepcopy(net), smooth_images(64)
    with torch.no_grad():
        module[0].bias += torch.randn(12)
    weights = named_weights(net)
    entries = list_layers(module)
    assert correct_biases(net, module, entries, weights, batches=[x]) == ["0", "2", "5", "7"]
    for one, two in zip(net.parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


def test_a_table_that_is_a_layer_too_has_its_bias_corrected_as_a_layer():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(30, 16), nn.Linear(16, 30)
            self.head.weight = self.table.weight

        def forward(self, tokens):
            return self.head(torch.relu(self.table(tokens)))

    torch.manual_seed(0)
    module, tokens = Tied().eval(), torch.randint(30, (8, 5))
    shifts = []
    for correct in (False, True):
        made, report = convert(module, copies=2, dim=2, steps=3, example=tokens, correct=correct)
        shifts.append(float((made(tokens) - module(tokens)).mean((0, 1)).abs().max()))
        assert torch.equal(made.head.weight, made.table.weight) and made.head.bias.shape == (30,)
    assert report.layers[0].converted and shifts[1] <= shifts[0]


def test_batch_norms_of_all_devices_take_what_is_exchanged_in_the_same_places():
    """Which of these PyTorch calls depends on the device; with `own`, averages are left out and it is told to train."""
    assert len(NORMS) == 3
    for operation in NORMS:
        names = [argument.name for argument in operation._schema.arguments]
        assert names[:6] == ["input", "weight", "bias", "running_mean", "running_var", "training"]
