"""Modules of particles against the core layers, and their gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")

from dynsim import Kernel, kernels, layers  # noqa: E402
from dynsim.torch import (  # noqa: E402
    DynConv2d,
    DynEmbedding,
    DynLinear,
    DynMultiheadAttention,
    _torch_relation,
    materialize,
    relation,
)

SMOOTH, SORTABLE = Kernel("gaussian", length=2.0), Kernel("linear", "l1")


def numbers(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def test_relation_passes_gradcheck():
    parts = [numbers(2, 2, 3, 2), numbers(1, 2, 4, 2, seed=1), numbers(1, 2, 2, seed=2)]
    parts = [part.requires_grad_() for part in parts]
    assert torch.autograd.gradcheck(lambda *x: relation(SMOOTH, *x), parts)


@pytest.mark.parametrize("profile", [*kernels.PROFILES, "c / (1 + r)", "minimum(r, 1.2) * tanh(r) ** 3"])
@pytest.mark.parametrize("metric", kernels.METRICS)
def test_the_portable_formulas_are_the_kernels(profile, metric, monkeypatch):
    kernel = Kernel(profile, metric, 1.3, 0.3, 0.8)
    sources, targets, strengths = numbers(2, 2, 3, 2), numbers(1, 2, 4, 2, seed=1), numbers(1, 2, 2, seed=2)
    difference = targets[:, None, :, :, None] - sources[None, :, :, None]
    rho = difference.square().sum(-1).sqrt() if metric == "l2" else difference.abs().sum(-1)
    expected = np.einsum("tsh,tshoi->tsoi", strengths.numpy(), kernel.value(rho.numpy()))
    # float64 in both, sums of a few terms of size one
    got = _torch_relation.torch_relation(kernel, sources, targets, strengths)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-13)
    monkeypatch.setattr(_torch_relation, "_in_numba", lambda tensor: False)
    parts = [part.requires_grad_() for part in (sources, targets, strengths)]
    assert torch.autograd.gradcheck(lambda *x: relation(kernel, *x), parts)


def test_the_portable_way_is_that_of_numba():
    parts = [numbers(2, 2, 3, 2), numbers(1, 2, 4, 2, seed=1), numbers(1, 2, 2, seed=2)]
    arrays, gradient = [part.numpy() for part in parts], numbers(1, 2, 4, 3, seed=3)
    np.testing.assert_allclose(
        _torch_relation.torch_relation(SMOOTH, *parts).numpy(),
        kernels.relation(SMOOTH, *arrays),
        rtol=1e-12,
        atol=1e-13,
    )
    ours = kernels.relation_forces(SMOOTH, *arrays, gradient.numpy())
    for one, other in zip(ours, _torch_relation.torch_relation_forces(SMOOTH, *parts, gradient), strict=True):
        np.testing.assert_allclose(other.numpy(), one, rtol=1e-11, atol=1e-12)


def test_half_precision_goes_the_portable_way():
    parts = [numbers(1, 2, 3, 2), numbers(1, 2, 4, 2, seed=1), numbers(1, 1, 2, seed=2)]
    half = [part.to(torch.bfloat16).requires_grad_() for part in parts]
    weights = relation(SMOOTH, *half)
    exact = relation(SMOOTH, *(part.detach().double() for part in half))
    assert weights.dtype == torch.bfloat16
    torch.testing.assert_close(weights.double(), exact, rtol=2**-8, atol=2**-8)  # one rounding to 8 bits
    weights.sum().backward()
    assert half[0].grad.dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_linear_is_the_core_layer(dtype):
    torch.manual_seed(0)
    ours = DynLinear(6, 4, copies=2, dim=2, kernel=SMOOTH, dtype=dtype)
    parts = [
        p.detach().numpy()
        for p in (ours.particles.places_in[0], ours.particles.places_out[0], ours.particles.strengths[0, 0])
    ]
    core = layers.Full(*parts, SMOOTH, bias=ours.bias.detach().numpy())
    x = numbers(5, 6, dtype=dtype).requires_grad_()
    y = ours(x)
    np.testing.assert_allclose(y.detach().numpy(), core.forward(x.detach().numpy(), training=True), atol=1e-6)
    signal = numbers(5, 4, seed=1, dtype=dtype)
    y.backward(signal)
    np.testing.assert_allclose(x.grad.numpy(), core.backward(signal.numpy()), atol=1e-6)
    own = ours.particles
    pairs = [(own.places_in.grad[0], core.places_in), (own.places_out.grad[0], core.places_out)]
    for grad, parameter in [*pairs, (own.strengths.grad[0, 0], core.strengths), (ours.bias.grad, core.bias)]:
        np.testing.assert_allclose(grad.numpy(), parameter.gradient, atol=1e-5 if dtype == torch.float32 else 1e-12)


def test_weight_free_answers_and_gradients_are_the_dense_ones():
    torch.manual_seed(1)
    x = numbers(5, 6).requires_grad_()
    results = []
    for inference in ("dense", "weight-free", "tiled"):
        torch.manual_seed(2)
        layer = DynLinear(6, 4, copies=2, dim=2, kernel=SORTABLE, rank=1, dtype=torch.float64, inference=inference)
        with torch.no_grad():
            layer.particles.right.normal_()
            silent = layer(x)
        y = layer(x)
        torch.testing.assert_close(silent, y.detach(), rtol=0, atol=1e-12)
        gradients = torch.autograd.grad(y.square().sum(), [x, *layer.parameters()])
        results.append([y.detach(), *gradients])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
    with pytest.raises(ValueError, match="expected the linear kernel"):
        DynLinear(6, 4, copies=1, dim=2, kernel=SMOOTH, inference="weight-free")(x.float())
    with pytest.raises(ValueError, match="expected one of"):
        DynLinear(6, 4, inference="sparse")


@pytest.mark.parametrize("sets", layers.SETS)
def test_conv_is_the_core_layer(sets):
    torch.manual_seed(3)
    ours = DynConv2d(2, 4, kernel_size=3, copies=2, dim=2, kernel=SMOOTH, sets=sets, dtype=torch.float64)
    parts = [p.detach().numpy() for p in ours.particles.parts().values()]
    core = layers.Conv(*parts, SMOOTH, bias=ours.bias.detach().numpy(), sets=sets)
    np.testing.assert_allclose(ours.weight.detach().numpy(), core.materialize(), atol=1e-14)
    x, signal = numbers(2, 2, 5, 6), numbers(2, 4, 3, 4, seed=1)
    y = ours(x)
    np.testing.assert_allclose(y.detach().numpy(), core.forward(x.numpy(), training=True), atol=1e-6)
    y.backward(signal)
    core.backward(signal.numpy())
    for name in ("places_in", "places_out", "strengths"):
        np.testing.assert_allclose(getattr(ours.particles, name).grad.numpy(), getattr(core, name).gradient, atol=1e-11)


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2, "padding": 1, "dilation": (2, 1)},
        {"groups": 4, "padding": "same"},
        {"groups": 2, "padding": (1, 0), "padding_mode": "reflect", "bias": False},
        {"padding": "same", "padding_mode": "circular", "dilation": 2},
    ],
)
def test_every_convolution_is_the_ordinary_one_with_its_weights(options):
    torch.manual_seed(4)
    layer = DynConv2d(4, 8, kernel_size=(3, 2), copies=2, dim=2, kernel=SMOOTH, **options)
    ordinary = torch.nn.Conv2d(4, 8, (3, 2), **options)
    weights = layer.weight.detach()
    assert weights.shape == ordinary.weight.shape
    with torch.no_grad():
        ordinary.weight.copy_(weights)
        if ordinary.bias is not None:
            ordinary.bias.zero_()
    x = numbers(2, 4, 9, 8, dtype=torch.float32)
    torch.testing.assert_close(layer(x), ordinary(x), rtol=0, atol=1e-6)
    torch.testing.assert_close(materialize(layer)(x), ordinary(x), rtol=0, atol=1e-6)


def test_embedding_makes_the_rows_that_are_asked_for():
    torch.manual_seed(5)
    layer = DynEmbedding(9, 4, padding_idx=-1, copies=2, dim=2, kernel=SMOOTH, rank=1)
    table, tokens = layer.weight, torch.tensor([[3, 8], [3, 0]])
    torch.testing.assert_close(layer(tokens), table[tokens])
    assert bool((table[8] == 0).all()) and bool((table[:8] != 0).all())
    layer(tokens).sum().backward()
    moved = layer.particles.places_out.grad.abs().sum((0, 1, 3)) > 0
    assert moved.tolist() == [k in (0, 3) for k in range(9)]


@pytest.mark.parametrize("options", [{}, {"kdim": 4, "vdim": 6, "bias": False, "batch_first": True}])
def test_attention_is_the_ordinary_one_with_its_weights(options):
    torch.manual_seed(6)
    layer = DynMultiheadAttention(8, 2, copies=2, dim=2, kernel=SMOOTH, **options)
    plain = materialize(layer)
    assert type(plain) is torch.nn.MultiheadAttention and set(plain.state_dict()) == set(
        torch.nn.MultiheadAttention(8, 2, **options).state_dict()
    )
    query, key, value = (torch.randn(5, 3, size) for size in (8, options.get("kdim", 8), options.get("vdim", 8)))
    mask = torch.zeros(3, 3, dtype=torch.bool).triu(1) if options else torch.zeros(5, 5, dtype=torch.bool).triu(1)
    for arguments in ({}, {"need_weights": False}, {"attn_mask": mask, "average_attn_weights": False}):
        answers = [net(query, key, value, **arguments) for net in (layer, plain)]
        for one, other in zip(*answers, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one, other)
    layer(query, key, value)[0].sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
    with pytest.raises(ValueError, match="divisor"):
        DynMultiheadAttention(8, 3)


def test_a_state_dict_goes_there_and_back_and_neighbours_share():
    first, second = DynLinear(4, 5, copies=2, dim=2, kernel=SMOOTH), DynLinear(5, 3, copies=2, dim=2, kernel=SMOOTH)
    second.particles.places_in = first.particles.places_out
    row = torch.nn.Sequential(first, second)
    assert len(list(row.parameters())) == 7  # eight, one of them shared
    other = torch.nn.Sequential(
        DynLinear(4, 5, copies=2, dim=2, kernel=SMOOTH), DynLinear(5, 3, copies=2, dim=2, kernel=SMOOTH)
    )
    other.load_state_dict(row.state_dict())
    x = torch.randn(2, 4)
    torch.testing.assert_close(other(x), row(x), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DynLinear(3, 4, copies=0), "copies: got 0"),
        (lambda: DynLinear(3, 4, kernel="gaussian"), "expected a Kernel"),
        (lambda: DynConv2d(3, 4, kernel_size=3, groups=2), "groups: got 2"),
        (lambda: DynConv2d(3, 4, kernel_size=3, sets="both"), "sets: got 'both'"),
        (lambda: DynConv2d(3, 4, kernel_size=3, padding_mode="mirror"), "padding_mode: got 'mirror'"),
        (lambda: DynLinear(3, 4, rank=-1), "rank: got -1"),
    ],
)
def test_nonsense_is_refused_at_the_door(make, words):
    with pytest.raises((ValueError, TypeError), match=words):
        make()


@pytest.mark.parametrize("inference", ["weight-free", "tiled", "auto"])
def test_what_a_layer_multiplies_by_is_kept_until_its_neurons_move(inference, monkeypatch):
    made, product = [], layers.Full.product
    monkeypatch.setattr(layers.Full, "product", lambda self, way: made.append(way) or product(self, way))
    layer = DynLinear(9, 7, copies=2, dim=3, kernel=Kernel("linear", "l1"), inference=inference).eval()
    x = torch.randn(4, 9)
    with torch.no_grad():
        first, again = layer(x), layer(x)
        assert len(made) == 1 and torch.equal(first, again)
        layer.particles.places_out += 1
        torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
    assert len(made) == 2
