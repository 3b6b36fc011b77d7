"""Batches are taken as people have them: wherever they lie, and whatever they are packed in."""

from collections import namedtuple

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")

from torch import nn  # noqa: E402

from dynsim.torch import convert  # noqa: E402
from dynsim.torch._batches import mapped, send  # noqa: E402


@pytest.mark.parametrize("pack", [lambda x: x, lambda x: (x, torch.zeros(len(x))), lambda x: {"input": x}])
def test_a_batch_is_moved_to_the_network(pack):
    net = nn.Linear(3, 2, device="meta")
    assert send(net, pack(torch.zeros(4, 3))).device.type == "meta"


def test_a_network_without_parameters_takes_a_batch_where_it_is():
    assert send(nn.Flatten(), torch.zeros(4, 3, 2)).shape == (4, 6)


def test_named_tuples_stay_named_tuples():
    pair = namedtuple("pair", "inputs labels")
    given = pair(torch.ones(4, 3), torch.zeros(4))
    found = mapped(given, lambda tensor: tensor + 1)
    assert type(found) is pair and found.inputs.eq(2).all() and found.labels.eq(1).all()
    convert(nn.Sequential(nn.Linear(3, 2)), copies=2, dim=2, steps=2, data=[given])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a card")
def test_data_in_memory_serve_a_network_on_a_card():
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(576, 4))
    net = net.eval().cuda()
    made, report = convert(net, copies=2, dim=4, steps=3, data=[torch.randn(8, 3, 8, 8)])
    assert report.options["norms"] == 1 and next(made.parameters()).is_cuda
