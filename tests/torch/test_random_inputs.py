"""Inputs at random: their shapes, the statistics of images, and conversions without data that are matched on them."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")

from torch import nn  # noqa: E402

from dynsim.torch import (  # noqa: E402
    Matching,
    _output_matching,
    are_images,
    convert,
    dead_leaves,
    list_layers,
    load_program,
    modularise,
    random_inputs,
)


@pytest.mark.parametrize(("channels", "size"), [(3, (64, 64)), (1, (128, 96)), (5, (32, 48))])
def test_the_spectrum_of_dead_leaves_falls_as_that_of_photographs(channels, size):
    images = dead_leaves(64, channels, size).double().numpy()
    assert images.shape == (64, channels, *size)
    assert images.mean() == pytest.approx(0, abs=1e-5) and images.std() == pytest.approx(1, abs=1e-5)
    power = np.mean(np.abs(np.fft.fft2(images - images.mean((2, 3), keepdims=True))) ** 2, axis=(0, 1))
    down, right = np.meshgrid(*(np.fft.fftfreq(side) for side in size), indexing="ij")
    frequency = np.hypot(down, right)
    some = (frequency > 2 / min(size)) & (frequency < 0.25)
    slope, _ = np.polyfit(np.log(frequency[some]), np.log(power[some]), 1)
    assert -3 < slope < -1.5  # of photographs about -2 (Field, 1987)


def test_neighbouring_differences_of_dead_leaves_have_the_long_tails_of_edges():
    images = dead_leaves(64, 3, (64, 64)).double()
    steps = images[..., 1:] - images[..., :-1]
    kurtosis = float((steps - steps.mean()).pow(4).mean() / steps.var() ** 2)
    assert kurtosis > 10  # 3 for a gaussian
    colours = torch.corrcoef(images.transpose(0, 1).flatten(1))
    assert float(colours.min()) > 0.7  # channels have most in common


def test_dead_leaves_are_the_same_for_the_same_seed_only():
    assert torch.equal(dead_leaves(3, 2, (8, 8), seed=4), dead_leaves(3, 2, (8, 8), seed=4))
    assert not torch.equal(dead_leaves(3, 2, (8, 8), seed=4), dead_leaves(3, 2, (8, 8), seed=5))


def halving(times, *after):
    """A network of convolutions that halves its images so many times."""
    layers = [nn.Conv2d(3 if k == 0 else 4, 4, 3, 2, 1) for k in range(times)]
    return nn.Sequential(*layers, *after)


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (halving(2), (256, 3, 32, 32)),
        (halving(5), (41, 3, 224, 224)),
        (halving(5, nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 8, 1)), (41, 3, 224, 224)),  # a map of one pixel says nothing
        (halving(1, nn.Flatten(), nn.Linear(4 * 14 * 14, 3)), (256, 3, 28, 28)),  # takes no other
        (halving(3).double(), (256, 3, 64, 64)),
        (nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)), (256, 2, 32, 32)),
        (nn.Conv1d(2, 4, 3), (256, 2, 32)),
        (nn.Sequential(nn.Linear(7, 2)), (2048, 7)),
        (nn.Embedding(9, 2), (64, 32)),
    ],
)
def test_inputs_have_a_shape_that_the_network_takes(network, shape):
    (batch,) = random_inputs(network)
    assert tuple(batch.shape) == shape
    assert torch.equal(batch, random_inputs(network)[0])
    assert network(batch).dtype == next(network.parameters()).dtype


def test_an_example_says_how_large_images_are_and_other_examples_are_taken_as_they_are():
    (batch,) = random_inputs(halving(2), torch.zeros(1, 3, 40, 24))
    assert tuple(batch.shape) == (256, 3, 40, 24) and are_images(batch) and float(batch.std()) > 0.9
    rows = torch.ones(3, 7)
    assert random_inputs(nn.Linear(7, 2), rows)[0] is rows
    table = {"input": rows}
    assert random_inputs(nn.Linear(7, 2), table)[0] is table


def test_a_program_has_inputs_of_the_shape_that_it_was_exported_for(tmp_path):
    batch = torch.export.Dim("batch")
    for name, shapes, expected in (("fixed", None, [(4, 3, 20, 20)] * 64), ("free", ({0: batch},), [(256, 3, 20, 20)])):
        program = torch.export.export(halving(2), (torch.zeros(4, 3, 20, 20),), dynamic_shapes=shapes)
        torch.export.save(program, tmp_path / f"{name}.pt2")
        module = modularise(load_program(tmp_path / f"{name}.pt2"))
        found = random_inputs(module)
        assert [tuple(part.shape) for part in found] == expected
        assert len({float(part.max()) for part in found}) == len(found)
        _, report = convert(module, copies=2, dim=1, steps=2)
        assert report.options["matched"] == "random images"


def test_what_takes_nothing_that_is_tried_is_converted_to_its_weights_alone():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 16, 3)

        def forward(self, one, two):
            return self.layer(one + two)

    assert random_inputs(Pair()) is None
    _, report = convert(Pair(), copies=2, dim=1, steps=2)
    assert report.options["matched"] == "" and report.layers[0].converted


def test_images_are_as_those_of_an_example_and_one_that_is_constant_says_only_how_large_they_are():
    example = torch.rand(2, 3, 16, 20) * torch.tensor([1.0, 10.0, 255.0])[:, None, None]
    (batch,) = random_inputs(halving(2), example)
    for channel in range(3):
        (made, given) = (x[:, channel] for x in (batch, example))
        assert float(given.min()) <= float(made.min()) and float(made.max()) <= float(given.max())
        assert float(made.mean()) == pytest.approx(float(given.mean()), rel=0.2)
    program = modularise(torch.export.export(halving(2), (torch.zeros(1, 3, 24, 24),)))
    for one in random_inputs(program, torch.zeros(1, 3, 24, 24)):
        assert one.shape == (1, 3, 24, 24) and float(one.std()) > 0.1


class Logarithm(nn.Module):
    """Takes positive images only: of others it makes numbers that are none."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 16, 3)

    def forward(self, x):
        return self.layer(torch.log(x + 1e-3))


class Strict(Logarithm):
    """Refuses others."""

    def forward(self, x):
        assert float(x.min()) >= 0
        return self.layer(x)


@pytest.mark.parametrize("network", [Logarithm(), Strict()])
@pytest.mark.parametrize("synthetic", [False, True])
def test_a_network_that_takes_positive_images_only_is_given_no_others(network, synthetic):
    assert random_inputs(network) is None
    _, report = convert(network, copies=2, dim=1, steps=2, synthetic=synthetic)
    assert report.options["matched"] == "" and report.layers[0].converted
    example = torch.rand(8, 3, 16, 16)
    _, report = convert(network, copies=2, dim=1, steps=2, synthetic=synthetic, example=example)
    assert report.options["matched"] == ("random images" if synthetic else "") and report.options["biases"] == 1


def test_the_layer_that_takes_the_images_need_not_be_the_first_of_the_module():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(4, 2), nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.last(self.first(x).mean((2, 3)))

    assert tuple(random_inputs(Backwards())[0].shape) == (256, 3, 32, 32)


@torch.jit.script
def scripted(x, weight):
    """A convolution that TorchScript runs."""
    return torch.conv2d(x, weight)


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3)

    def forward(self, x):
        return scripted(torch.relu(scripted(x, self.one.weight)), self.two.weight)


def in_pairs():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(16, track_running_stats=False),
        nn.Linear(16, 16),
    )  # fmt: skip


@pytest.mark.parametrize("make", [Scripted, in_pairs])
def test_networks_that_are_not_stopped_or_take_several_images_only_are_matched_too(make):
    _, report = convert(make().eval(), copies=2, dim=1, steps=2, example=torch.zeros(2, 3, 12, 12))
    assert report.options["matched"] == "random images" and sum(layer.converted for layer in report.layers) == 2


def test_biases_of_layers_that_are_not_matched_are_corrected_too():
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.ConvTranspose2d(16, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3)
    )
    _, report = convert(network, copies=2, dim=1, steps=2, example=torch.zeros(1, 3, 12, 12))
    assert report.options["matched"] == "random images"
    assert report.options["biases"] == sum(layer.converted for layer in report.layers) == 3


@pytest.mark.parametrize("batch", [1, 4])
def test_patches_are_of_all_places_of_an_image(batch, monkeypatch):
    monkeypatch.setattr(_output_matching, "ROWS", 2**13)
    network, count = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1)), 64 // batch
    matching = Matching(network, network, batches=[torch.ones(batch, 1, 128, 128)] * count)
    (entry,) = list_layers(network)
    rows = np.concatenate([matching._rows(network, entry, number) for number in range(count)])
    assert len(rows) == 2**13
    # The border is outside the image in one of 128 patches, on every side; of 8,192 at random within four deviations.
    inside = rows.reshape(-1, 3, 3)
    for axis in (1, 2):
        for side in (0, 2):
            assert inside.take(side, axis).max(1).mean() == pytest.approx(1 - 1 / 128, abs=0.004)


@pytest.mark.parametrize("given", [(0, 3, (8, 8)), (2, 0, (8, 8)), (2, 3, (8, 0)), (2, 3, (8,))])
def test_dead_leaves_of_no_size_are_refused(given):
    with pytest.raises(ValueError, match=r"(count|channels|size): got"):
        dead_leaves(*given)


@pytest.mark.slow
def test_without_data_answers_to_images_are_nearer_when_layers_are_matched_on_random_ones():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16, momentum=None), nn.ReLU(), nn.Conv2d(16, 24, 3, 2),
        nn.BatchNorm2d(24, momentum=None), nn.ReLU(), nn.Conv2d(24, 24, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(96, 10),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    waves = nn.functional.interpolate(torch.randn(256, 3, 6, 6, generator=generator), size=24, mode="bicubic")
    network(waves)  # its norms know images of another kind than random ones
    network.eval()
    errors, answers = {}, network(waves).detach()
    for synthetic in (False, True):
        module, report = convert(network, budget=0.5, steps=12, example=torch.zeros(1, 3, 24, 24), synthetic=synthetic)
        errors[synthetic] = float((module(waves).detach() - answers).square().mean() / answers.var(0).mean())
        assert report.options["matched"] == ("random images" if synthetic else "")
    assert errors[True] < 0.8 * errors[False]
    with pytest.raises(TypeError, match="synthetic: got int 1"):
        convert(network, synthetic=1)
