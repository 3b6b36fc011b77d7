"""Batches are taken as people have them: wherever they lie, and whatever they are packed in."""

from collections import namedtuple
from dataclasses import dataclass

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")

from torch import nn  # noqa: E402

from dynsim.torch import convert, finetune  # noqa: E402
from dynsim.torch._batches import mapped, send  # noqa: E402


@pytest.mark.parametrize("pack", [lambda x: x, lambda x: (x, torch.zeros(len(x))), lambda x: {"input": x}])
def test_a_batch_is_moved_to_the_network(pack):
    x = torch.zeros(4, 3, device="meta")  # as good as a card, but for numbers
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        send(nn.Linear(3, 2), pack(x))


def test_parts_that_are_nowhere_do_not_attract_a_batch():
    net = nn.Linear(3, 2)
    net.unused = nn.Linear(2, 2, device="meta")
    net.register_parameter("first", nn.Parameter(torch.zeros(2, device="meta")))
    assert send(net, torch.zeros(4, 3)).device.type == "cpu"


def test_a_network_without_parameters_takes_a_batch_where_it_is():
    assert send(nn.Flatten(), torch.zeros(4, 3, 2)).shape == (4, 6)


def test_named_tuples_stay_named_tuples():
    pair = namedtuple("pair", "inputs labels")
    given = pair(torch.ones(4, 3), torch.zeros(4))
    found = mapped(given, lambda tensor: tensor + 1)
    assert type(found) is pair and found.inputs.eq(2).all() and found.labels.eq(1).all()
    convert(nn.Sequential(nn.Linear(3, 2)), copies=2, dim=2, steps=2, data=[given])


@dataclass
class Answer:
    logits: torch.Tensor
    loss: torch.Tensor | None = None


class Masked(nn.Module):
    """The mean over the tokens of a mask, which must be given."""

    def __init__(self, pack):
        super().__init__()
        self.fc, self.pack = nn.Linear(20, 16), pack

    def forward(self, x, attention_mask=None):
        assert attention_mask is not None and not attention_mask[:, 3:].any()
        mask = attention_mask[..., None].float()
        return self.pack((self.fc(x) * mask).sum(1) / mask.sum(1))


@pytest.mark.parametrize("pack", [Answer, lambda y: {"logits": y}, lambda y: (y,), lambda y: {"any name": y}])
def test_masks_reach_the_network_and_answers_may_be_packed(pack):
    mask = torch.ones(4, 5, dtype=torch.long)
    mask[:, 3:] = 0
    batch, net = {"x": torch.randn(4, 5, 20), "attention_mask": mask}, Masked(pack)
    convert(net, steps=3, budget=0.6, example=batch)
    made, report = convert(net, steps=3, copies=2, dim=2, data=[batch])
    assert report.layers[0].macs == 5 * 16 * 20
    loader = [{**batch, "labels": torch.zeros(4, dtype=torch.long)}]
    assert len(finetune(made, net, loader=loader, epochs=1)) == 1


@pytest.mark.parametrize(
    "batch, said",
    [
        ("text", "a batch that is a str"),
        ((), "an empty tuple"),
        (torch.tensor(1.0), "without inputs"),
        (torch.zeros(0, 20), "without inputs"),
        ({"input": torch.tensor(1.0)}, "without inputs"),
    ],
)
def test_what_is_no_batch_is_refused(batch, said):
    with pytest.raises((TypeError, ValueError), match=said):
        convert(nn.Linear(20, 16), copies=2, dim=2, steps=2, data=[batch])
    with pytest.raises((TypeError, ValueError), match=f"example: got {said}|example: got a batch {said}"):
        convert(nn.Linear(20, 16), steps=2, example=batch)


def test_answers_without_tensors_are_refused():
    made, _ = convert(Masked(Answer).fc, copies=2, dim=2, steps=2)
    net = nn.Sequential(made)
    net.forward = lambda x: "text"
    with pytest.raises((TypeError, ValueError), match="an answer that is a str"):
        finetune(net, None, loader=[(torch.ones(4, 20), torch.zeros(4), torch.zeros(4, 16))], epochs=1)


def test_labels_that_are_not_there_are_refused():
    net = nn.Linear(20, 16)
    made, _ = convert(net, copies=2, dim=2, steps=2)
    with pytest.raises((TypeError, ValueError), match="batches that have none"):
        finetune(made, net, loader=[torch.ones(4, 20)], epochs=1, labels=0.5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a card")
def test_data_in_memory_serve_a_network_on_a_card():
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(576, 4))
    net = net.eval().cuda()
    made, report = convert(net, copies=2, dim=4, steps=3, data=[torch.randn(8, 3, 8, 8)])
    assert report.options["norms"] == 1 and next(made.parameters()).is_cuda
