"""Networks of PyTorch's layers in random arrangements: converted, materialised and original against one another."""

import copy

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import nn  # noqa: E402

from dynsim.torch import convert, materialize  # noqa: E402

WIDTH, LENGTH = 8, 5  # of signals (batch, LENGTH, WIDTH)


class Turned(nn.Module):
    """A layer that takes (batch, WIDTH, LENGTH)."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.transpose(1, 2)).transpose(1, 2)


class Recurrent(nn.Module):
    """A layer whose answer is the first of two."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


class Attention(nn.Module):
    """Attention to oneself, or to what came before it."""

    def __init__(self, layer, own):
        super().__init__()
        self.layer, self.own = layer, own

    def forward(self, x):
        return x + self.layer(x, *[x if self.own else x.roll(1, 1)] * 2)[0]


class Around(nn.Module):
    """x + f(x)."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return x + self.layer(x)


class Pair(nn.Module):
    """A bilinear layer of a signal and itself."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Bilinear(WIDTH, WIDTH, WIDTH)

    def forward(self, x):
        return self.layer(x, x.tanh())


LAYERS = {
    "linear": lambda: nn.Linear(WIDTH, WIDTH),
    "linear without bias": lambda: nn.Linear(WIDTH, WIDTH, bias=False),
    "conv": lambda: Turned(nn.Conv1d(WIDTH, WIDTH, 3, padding=1)),
    "grouped conv": lambda: Turned(nn.Conv1d(WIDTH, WIDTH, 3, padding="same", groups=2)),
    "circular conv": lambda: Turned(nn.Conv1d(WIDTH, WIDTH, 3, padding=1, padding_mode="circular")),
    "transposed conv": lambda: Turned(nn.ConvTranspose1d(WIDTH, WIDTH, 3, padding=1)),
    "batch norm": lambda: Turned(nn.BatchNorm1d(WIDTH)),
    "layer norm": lambda: nn.LayerNorm(WIDTH),
    "lstm": lambda: Recurrent(nn.LSTM(WIDTH, WIDTH, batch_first=True)),
    "both ways": lambda: Recurrent(nn.GRU(WIDTH, WIDTH // 2, 2, batch_first=True, bidirectional=True)),
    "attention": lambda: Attention(nn.MultiheadAttention(WIDTH, 2, batch_first=True), True),
    "attention to others": lambda: Attention(nn.MultiheadAttention(WIDTH, 2, batch_first=True, bias=False), False),
    "encoder": lambda: nn.TransformerEncoderLayer(WIDTH, 2, 12, batch_first=True),
    "around": lambda: Around(nn.Sequential(nn.Linear(WIDTH, 12), nn.GELU(), nn.Linear(12, WIDTH))),
    "bilinear": Pair,
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH)),
    "relu": nn.ReLU,
    "dropout": lambda: nn.Dropout(0.3),
}


@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=5),
    twice=st.booleans(),  # the last layer is used again
    budget=st.sampled_from([0.6, 1.0]),
    seed=st.integers(0, 2**16),
)
def test_a_random_network(names, twice, budget, seed):
    torch.manual_seed(seed)
    layers = [LAYERS[name]() for name in names]
    net = nn.Sequential(*layers, *layers[-1:] * twice).eval()
    x = torch.randn(3, LENGTH, WIDTH)
    before, answer = {name: value.clone() for name, value in net.state_dict().items()}, net(x)
    made, report = convert(net, budget=budget, steps=2, copies=1)
    torch.testing.assert_close(net(x), answer, rtol=0, atol=0)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert report.parameters == sum(p.numel() for p in made.parameters())
    assert report.share <= budget or not report.candidates
    plain = materialize(made)
    for module in (made, copy.deepcopy(made), plain):
        assert not any(part.training for part in module.modules())
    with torch.no_grad():
        found = made(x)
        torch.testing.assert_close(plain(x), found, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(copy.deepcopy(made)(x), found, rtol=0, atol=0)
    if budget == 1.0 and not any(layer.converted for layer in report.layers):
        torch.testing.assert_close(found, answer, rtol=1e-4, atol=1e-5)
    answer = made.train()(x)
    if answer.requires_grad:
        answer.square().sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in made.parameters())
    if not report.options["folded"]:
        net.load_state_dict(plain.state_dict())
        torch.testing.assert_close(net(x), found, rtol=1e-4, atol=1e-5)
