"""Attention against a plain reference in float64, and against PyTorch."""

import numpy as np
import pytest

from dynsim.kernels import Kernel
from dynsim.layers import Attention, Full, LayerNorm, Patches, PlainAttention


def weights_of(places_in, places_out, strengths):
    """The relation, written out: sum_h lambda_h / |q_out - q_in|."""
    W = np.zeros((places_out.shape[1], places_in.shape[1]))
    for h, strength in enumerate(strengths):
        for o, i in np.ndindex(W.shape):
            W[o, i] += strength / np.linalg.norm(places_out[h, o] - places_in[h, i])
    return W


def reference(x, W, bias, heads, keys):
    """Equation (1) of Vaswani et al., one head and one image at a time."""
    y = np.zeros((*x.shape[:2], len(W) - 2 * keys))
    size, wide = keys // heads, y.shape[2] // heads
    for b, image in enumerate(x):
        signals = image @ W.T + bias
        for h in range(heads):
            q = signals[:, h * size : (h + 1) * size]
            k = signals[:, keys + h * size : keys + (h + 1) * size]
            v = signals[:, 2 * keys + h * wide : 2 * keys + (h + 1) * wide]
            scores = np.exp(q @ k.T / np.sqrt(size))
            y[b, :, h * wide : (h + 1) * wide] = scores / scores.sum(axis=1, keepdims=True) @ v
    return y


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-5)])
@pytest.mark.parametrize(
    ("batch", "tokens", "heads", "keys", "values"), [(1, 1, 1, 3, 5), (3, 7, 2, 8, 4), (2, 50, 4, 16, 16)]
)
def test_is_the_plain_formula(dtype, tolerance, batch, tokens, heads, keys, values):
    g = np.random.default_rng(0)
    places = [g.normal(size=(2, n, 9)) for n in (6, 2 * keys, values)]
    strengths, bias = g.normal(size=2), g.normal(size=2 * keys + values)
    x = g.normal(size=(batch, tokens, 6))
    W = weights_of(places[0], np.concatenate(places[1:], axis=1), strengths)
    layer = Attention(*(a.astype(dtype) for a in (*places, strengths)), bias=bias.astype(dtype), heads=heads)
    np.testing.assert_allclose(layer.materialize(), W, rtol=0, atol=tolerance)
    expected = reference(x, W, bias, heads, keys)
    y = layer.forward(x.astype(dtype))
    assert y.dtype == dtype
    # float32: 6 terms of size one a score, then a softmax, whose slope is at most one, and a mean of the values
    np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance)
    plain = PlainAttention(W, bias, heads=heads, keys=keys)
    np.testing.assert_allclose(plain.forward(x), expected, rtol=0, atol=1e-12)


def test_large_scores_do_not_overflow():
    layer = PlainAttention(1e3 * np.eye(6)[[0, 1, 2, 3, 4, 5]], heads=1)
    assert np.isfinite(layer.forward(np.ones((1, 3, 6)))).all()


def test_weight_free_and_tiled_say_the_same():
    g = np.random.default_rng(1)
    places = [g.normal(size=(2, n, 3)) for n in (6, 8, 4)]
    layer = Attention(*places, g.normal(size=2), Kernel("linear", "l1"), bias=g.normal(size=12), heads=2)
    x = g.normal(size=(3, 5, 6))
    for inference in ("tiled", "weight-free", "auto"):
        np.testing.assert_allclose(layer.forward(x, inference=inference), layer.forward(x), rtol=0, atol=1e-12)


def test_values_share_their_places_with_the_projection():
    g = np.random.default_rng(2)
    layer = Attention(*(g.normal(size=(1, n, 2)) for n in (4, 8, 4)), [1.0], heads=2)
    projection = Full(layer.places_value, g.normal(size=(1, 4, 2)), [1.0])
    x = g.normal(size=(2, 3, 4))
    y = projection.forward(layer.forward(x, training=True), training=True)
    layer.backward(projection.backward(np.ones_like(y)))
    kept, sides = layer.places_value.value[0, 1, 0], []
    for step in (1e-6, -1e-6):
        layer.places_value.value[0, 1, 0] = kept + step
        sides.append(projection.forward(layer.forward(x)).sum())
    assert layer.places_value.gradient[0, 1, 0] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-6)


def test_layer_norm_is_the_plain_formula():
    g = np.random.default_rng(3)
    for tokens in (1, 511, 512, 1025):  # about the edges of a task
        x = g.normal(3.0, 2.0, size=(tokens, 7))
        layer = LayerNorm(7)
        layer.scale.value[:], layer.shift.value[:] = g.normal(size=7), g.normal(size=7)
        expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
        expected = expected * layer.scale.value + layer.shift.value
        np.testing.assert_allclose(layer.forward(x), expected, rtol=0, atol=1e-12)


def test_patches_are_squares_row_by_row():
    x = np.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6)
    y = Patches(2).forward(x)
    assert y.shape == (2, 6, 12)
    np.testing.assert_array_equal(y[1, 4], x[1, :, 2:4, 2:4].ravel())


def test_parity_with_torch():
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")
    g = np.random.default_rng(4)
    weights, bias = g.normal(size=(24, 8)), g.normal(size=24)
    other = torch.nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        other.in_proj_weight.copy_(torch.from_numpy(weights))
        other.in_proj_bias.copy_(torch.from_numpy(bias))
        other.out_proj.weight.copy_(torch.eye(8))
        other.out_proj.bias.zero_()
    x, dy = g.normal(size=(3, 5, 8)), g.normal(size=(3, 5, 8))
    layer = PlainAttention(weights, bias, heads=2)
    tokens = torch.tensor(x, requires_grad=True)
    expected, _ = other(tokens, tokens, tokens)
    expected.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(layer.forward(x, training=True), expected.detach().numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(layer.backward(dy), tokens.grad.numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(layer.weights.gradient, other.in_proj_weight.grad.numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(layer.bias.gradient, other.in_proj_bias.grad.numpy(), rtol=0, atol=1e-12)


def test_parity_with_the_torch_module_of_particles():
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")
    from dynsim.torch import DynMultiheadAttention, derived_weight

    torch.manual_seed(0)
    g = np.random.default_rng(5)
    module = DynMultiheadAttention(8, 2, copies=2, dim=3, batch_first=True, dtype=torch.float64)
    made = derived_weight(module, "in_proj_weight"), derived_weight(module.out_proj)
    parts = [getattr(part, name) for part in made for name in ("places_in", "places_out")]
    lambdas, biases = [part.strengths for part in made], [module.in_proj_bias, module.out_proj.bias]
    sources, targets, values, signals = (part.detach().numpy()[0] for part in parts)
    (first, second), (bias, other) = ([array.detach().numpy() for array in arrays] for arrays in (lambdas, biases))
    kernel = made[0].kernel
    core = Attention(sources, targets[:, :16], targets[:, 16:], first[0, 0], kernel, bias=bias, heads=2)
    projection = Full(values, signals, second[0, 0], kernel, bias=other)
    x, dy = g.normal(size=(3, 5, 8)), g.normal(size=(3, 5, 8))
    y, _ = module(*[torch.from_numpy(x)] * 3)
    y.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(
        projection.forward(core.forward(x, True), True),
        y.detach().numpy(),
        rtol=0,
        atol=1e-12 * float(y.detach().abs().max()),
    )
    core.backward(projection.backward(dy))
    found = np.concatenate([core.places_query_key.gradient, core.places_value.gradient], axis=1)
    for ours, theirs in ((found, parts[1]), (core.places_in.gradient, parts[0]), (core.strengths.gradient, lambdas[0])):
        theirs = theirs.grad.numpy().reshape(ours.shape)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * np.abs(theirs).max())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Attention(*(np.zeros((1, n, 2)) for n in (4, 7, 4)), [1.0]), "as many queries as keys"),
        (lambda: Attention(*(np.zeros((1, n, 2)) for n in (4, 8, 3)), [1.0], heads=2), "heads: got 2"),
        (lambda: Attention(*(np.zeros((1, n, 2)) for n in (4, 8, 4)), [1.0, 2.0]), "strengths: got shape"),
        (lambda: PlainAttention(np.ones((6, 2))).forward(np.ones((3, 2))), r"expected \(batch, tokens, width\)"),
        (lambda: Patches(3).forward(np.ones((1, 1, 4, 4))), "multiples of 3"),
        (lambda: LayerNorm(3).forward(np.ones((2, 4))), r"expected \(..., 3\)"),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
