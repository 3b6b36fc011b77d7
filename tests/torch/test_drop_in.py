"""A converted network is used as the original was: sharing, flags, hooks, types, copies, states, programs."""

import copy
import pickle

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")

from torch import nn  # noqa: E402
from torch.nn.utils import parametrizations, parametrize, prune  # noqa: E402

from dynsim import Kernel  # noqa: E402
from dynsim.torch import Particles, choose_inference, convert, derived_weight, materialize, relation  # noqa: E402

FEW = {"copies": 2, "dim": 2, "steps": 5}
SMOOTH = Kernel("gaussian", length=2.0)


def converted(module, **options):
    return convert(module, **FEW, **options)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def made_of_particles(module):
    return {
        f"{name}.{parameter}".lstrip(".")
        for name, part in module.named_modules()
        for parameter in getattr(part, "parametrizations", ())
        if derived_weight(part, parameter) is not None
    }


# Sharing.


class Two(nn.Module):
    """The same module under two names."""

    def __init__(self, part):
        super().__init__()
        self.a, self.b = part, part


@pytest.mark.parametrize("part", [nn.MultiheadAttention(16, 2), nn.Linear(16, 16), nn.LSTM(16, 16), nn.Conv1d(8, 8, 3)])
def test_one_module_under_two_names_stays_one(part):
    module = Two(part)
    made, report = converted(module)
    assert made.a is made.b and report.parameters == count(made) < count(module) == report.parameters_before
    assert len(report.layers) == len({layer.name for layer in report.layers})
    plain = materialize(made)
    assert plain.a is plain.b and type(plain.a) is type(part)


class Tied(nn.Module):
    """A table, and a head with the same numbers."""

    def __init__(self, bias=True):
        super().__init__()
        self.table, self.head = nn.Embedding(40, 16), nn.Linear(16, 40, bias)
        self.head.weight = self.table.weight

    def forward(self, tokens):
        return self.head(self.table(tokens))


@pytest.mark.parametrize("bias", [True, False])
def test_tied_tensors_stay_tied_and_are_counted_once(bias):
    module, tokens = Tied(bias), torch.arange(6).reshape(2, 3)
    made, report = converted(module)
    assert made.table.weight is not None and torch.equal(made.table.weight, made.head.weight)
    assert report.parameters == count(made) and report.parameters_before == count(module)
    assert made_of_particles(made) == {"table.weight", "head.weight"}
    made(tokens).square().sum().backward()
    assert made.table.parametrizations.weight[0].places_in.grad.abs().sum() > 0
    plain = materialize(made)
    assert plain.head.weight is plain.table.weight
    torch.testing.assert_close(plain(tokens), made(tokens))
    again = copy.deepcopy(made)
    assert again.head.parametrizations.weight is again.table.parametrizations.weight
    torch.testing.assert_close(again(tokens), made(tokens), rtol=0, atol=0)


def test_tied_biases_and_norms_are_counted_once():
    module = nn.ModuleList([nn.Linear(20, 20), nn.Linear(20, 20), nn.LayerNorm(20), nn.LayerNorm(20)])
    module[1].bias, module[3].weight, module[3].bias = module[0].bias, module[2].weight, module[2].bias
    made, report = converted(module, exclude=["3"])
    assert report.parameters_before == count(module) and report.parameters == count(made)
    assert made[0].bias is made[1].bias and made[3].weight is made[2].weight
    assert [layer.name for layer in report.layers] == ["0", "1", "2", "3"]


def test_a_bias_of_two_layers_is_not_corrected():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 20))
    module[2].bias = module[0].bias
    for options in ({"example": torch.randn(64, 20)}, {"data": [torch.randn(64, 20)]}):
        made, report = converted(module, **options)
        assert torch.equal(made[0].bias, module[0].bias) and report.options["biases"] == 0
    module[2].bias = nn.Parameter(module[0].bias.detach().clone())
    assert converted(module, example=torch.randn(64, 20))[1].options["biases"] == 2
    module = nn.Sequential(nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 20), nn.LayerNorm(20))
    module[3].bias = module[0].bias
    made, report = converted(module, example=torch.randn(64, 20))
    assert torch.equal(made[0].bias, module[0].bias) and report.options["biases"] == 1


def test_parts_of_attention_that_are_tied():
    first, second = nn.MultiheadAttention(16, 2), nn.MultiheadAttention(16, 2)
    second.in_proj_weight = first.in_proj_weight
    made, report = converted(nn.ModuleList([first, second]))
    assert made[0].parametrizations.in_proj_weight is made[1].parametrizations.in_proj_weight
    assert report.parameters == count(made)


@pytest.mark.parametrize("pattern", ["dec", "enc", "de*"])
def test_every_name_is_a_name(pattern):
    module = nn.ModuleDict({"enc": nn.Linear(20, 20)})
    module["dec"], module["other"] = module["enc"], nn.Linear(20, 20)
    made, report = converted(module, exclude=[pattern])
    assert made_of_particles(made) == {"other.weight"}
    assert {layer.name: layer.reason for layer in report.layers}["enc"] == "excluded"
    assert type(made["enc"]) is nn.Linear and torch.equal(made["enc"].weight, module["enc"].weight)


# Weights that are made.


def pruned(layer):
    return prune.l1_unstructured(layer, "weight", amount=0.3)


def after_a_call(layer):
    pruned(layer)(torch.zeros(1, 20))
    return layer


def old_weight_norm(layer):
    with pytest.warns(FutureWarning, match="weight_norm"):
        return nn.utils.weight_norm(layer)


MAKERS = [
    pruned, after_a_call, old_weight_norm, nn.utils.spectral_norm, parametrizations.weight_norm,
    parametrizations.spectral_norm, parametrizations.orthogonal,
]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: getattr(make, "__qualname__", str(make)))
def test_weights_that_are_made_become_ordinary_before(make):
    torch.manual_seed(0)
    module = nn.Sequential(make(nn.Linear(20, 20)), nn.ReLU(), make(nn.Linear(20, 20))).eval()
    x = torch.randn(4, 20)
    before, answer = {name: value.clone() for name, value in module.state_dict().items()}, module(x)
    made, report = converted(module, exclude=["2"])
    assert made_of_particles(made) == {"0.weight"} and report.options["folded"] == ["0"]
    target = module[0].weight.detach()
    error = float((made[0].weight.detach() - target).square().sum() / target.square().sum())
    assert report.layers[0].error == pytest.approx(error, rel=1e-3)  # of the weight in use, not of what it is made of
    assert type(made[2]) is type(module[2]) or parametrize.is_parametrized(made[2])
    torch.testing.assert_close(made[2](x), module[2](x), rtol=0, atol=0)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    torch.testing.assert_close(module(x), answer, rtol=0, atol=0)
    made(x).sum().backward()


# Layers mean what PyTorch's mean.


@pytest.mark.parametrize("row", [0.0, 1.5])
@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_the_row_of_padding_keeps_its_numbers(row, kind):
    module = kind(30, 16, padding_idx=-2)
    with torch.no_grad():
        module.weight[28] = row
    made, report = converted(module)
    assert torch.equal(made.weight[28], module.weight[28]) and made.padding_idx == 28
    error = (made.weight - module.weight).square().sum() / module.weight.square().sum()
    assert report.layers[0].error == pytest.approx(float(error.detach()), rel=1e-4)
    assert report.parameters == count(made) + (16 if row else 0)  # a row that is not 0 is stored
    made.weight.sum().backward()
    places = made.parametrizations.weight[0].places_out
    assert places.grad[:, :, 28].abs().max() == 0 < places.grad.abs().max()


@pytest.mark.parametrize("nested", [True, False])
def test_the_fast_path_of_transformers(nested):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    module = nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested).eval()
    x, mask = torch.randn(3, 5, 16), torch.zeros(3, 5, dtype=torch.bool)
    mask[:, 4] = True
    made, _ = converted(module)
    with torch.no_grad():
        fast = made(x, src_key_padding_mask=mask)
    slow = made(x, src_key_padding_mask=mask)
    shared = fast.shape[1]  # nested tensors end at the longest text
    torch.testing.assert_close(fast[:, :4], slow[:, :4], rtol=1e-5, atol=1e-5)
    assert shared in (4, 5) and len(made_of_particles(made)) == 8
    plain = materialize(made)
    torch.testing.assert_close(plain(x, src_key_padding_mask=mask)[:, :4], slow[:, :4], rtol=1e-5, atol=1e-5)


def test_the_whole_transformer_and_its_decoder():
    torch.manual_seed(0)
    module = nn.Transformer(16, 2, 1, 1, 32, batch_first=True).eval()
    made, report = converted(module)
    source, target = torch.randn(2, 4, 16), torch.randn(2, 3, 16)
    with torch.no_grad():
        torch.testing.assert_close(made(source, target), materialize(made)(source, target), rtol=1e-5, atol=1e-5)
    assert report.share < 1 and len(made_of_particles(made)) == 10


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_weights_are_refused_by_name(dtype):
    module = nn.Linear(20, 20, dtype=dtype)
    made, report = converted(module)
    assert "complex" in report.layers[0].reason and not made_of_particles(made)
    assert torch.equal(made.weight, module.weight)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_quantised_layers_are_left_alone():
    module = nn.Sequential(nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 20))
    quantised = torch.ao.quantization.quantize_dynamic(module, {nn.Linear})
    made, report = converted(quantised)
    assert not report.layers and torch.equal(made(torch.ones(1, 20)), quantised(torch.ones(1, 20)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_types_are_kept(dtype):
    torch.manual_seed(0)
    module = nn.Linear(20, 16).to(dtype)
    made, _ = converted(module)
    assert {p.dtype for p in made.parameters()} == {dtype} and made.weight.dtype == dtype
    x = torch.randn(3, 20).to(dtype)
    assert made(x).dtype == dtype
    moved = made.to(torch.float64)
    assert moved.weight.dtype == torch.float64


def test_an_expression_in_half_precision_is_the_expression():
    places = torch.tensor([[[[0.0], [1.0]]]]), torch.tensor([[[[1.0], [3.0]]]])
    kernel = Kernel("c / (1 + r)")
    exact = relation(kernel, *places, torch.ones(1, 1, 1))
    half = relation(kernel, *(p.bfloat16() for p in places), torch.ones(1, 1, 1).bfloat16())
    torch.testing.assert_close(half.float(), exact, rtol=2**-8, atol=0)


def test_weights_are_made_in_their_own_precision_under_autocast():
    torch.manual_seed(0)
    module = convert(nn.Linear(20, 16), copies=2, dim=2, rank=2, steps=5)[0]
    exact = module.weight.detach().clone()
    derived_weight(module).made = None
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(module.weight, exact)
        assert module(torch.ones(1, 20)).dtype == torch.bfloat16


class Doubling(nn.Linear):
    """A subclass with a forward of its own."""

    def forward(self, x):
        return super().forward(2 * x)


def test_classes_forwards_hooks_and_flags_stay():
    module = nn.Sequential(Doubling(20, 20), nn.Conv1d(6, 6, 3), nn.ConvTranspose2d(8, 8, 3), nn.Bilinear(8, 8, 8))
    calls = []
    module[0].register_forward_hook(lambda part, inputs, options, output: calls.append(type(part)), with_kwargs=True)
    module[0].register_forward_pre_hook(lambda part, inputs: calls.append("before"))
    module[0].weight.requires_grad_(False)
    module[1].train(False)
    made, report = converted(module)
    assert made_of_particles(made) == {"0.weight", "1.weight", "2.weight", "3.weight"}, str(report)
    x = torch.ones(2, 20)
    torch.testing.assert_close(made[0](x), made[0].weight @ (2 * x[0]) + made[0].bias + 0 * made[0](x))
    calls.clear()
    made[0](x)
    assert calls == ["before", type(made[0])] and isinstance(made[0], Doubling)
    assert all(isinstance(new, type(old)) for new, old in zip(made, module, strict=True))
    learning = {name for name, p in made.named_parameters() if p.requires_grad}
    assert "0.bias" in learning and not any(name.startswith("0.parametrizations") for name in learning)
    assert [part.training for part in made] == [True, False, True, True] and not made[1].parametrizations.training


# As any module.


def recurrent():
    torch.manual_seed(0)
    return converted(nn.LSTM(16, 16, 2, bidirectional=True))[0], torch.randn(4, 3, 16)


def test_recurrent_layers():
    module, x = recurrent()
    assert len(made_of_particles(module)) == 8
    answer = module(x)[0]
    answer.sum().backward()
    assert all(p.grad is not None for p in module.parameters())
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), materialize(module)):
        torch.testing.assert_close(other(x)[0], answer, rtol=0, atol=0)
    with torch.no_grad():
        module.parametrizations.weight_hh_l0[0].strengths.mul_(2)
        torch.testing.assert_close(module(x)[0], materialize(module)(x)[0], rtol=0, atol=0)
    cell, _ = converted(nn.GRUCell(16, 16))
    torch.testing.assert_close(cell(x[0]), materialize(cell)(x[0]))


def test_copies_are_independent():
    made, _ = converted(nn.Sequential(nn.Linear(20, 16)))
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert type(other[0]) is not type(made[0]) and isinstance(other[0], nn.Linear)
        parametrize.remove_parametrizations(other[0], "weight")
        assert type(other[0]) is nn.Linear
        with torch.no_grad():
            other[0].weight.zero_()
        assert made[0].weight.abs().min() > 0 and torch.equal(made(torch.ones(1, 20)), made(torch.ones(1, 20)))


def test_states_go_in_both_directions():
    module = nn.Sequential(nn.Linear(20, 16), nn.BatchNorm1d(16))
    made, _ = converted(module)
    again, _ = converted(module, seed=3)
    again.load_state_dict(made.state_dict())
    torch.testing.assert_close(again[0].weight, made[0].weight, rtol=0, atol=0)
    module.load_state_dict(materialize(made).state_dict())
    torch.testing.assert_close(module[0].weight, made[0].weight, rtol=0, atol=0)
    norm = {name: value for name, value in module.state_dict().items() if name.startswith("1.")}
    assert not made.load_state_dict(norm, strict=False).unexpected_keys


def test_a_weight_is_made_once_and_again_when_places_have_moved(monkeypatch):
    made, _ = converted(nn.Linear(20, 16))
    calls, make = [], Particles._make
    monkeypatch.setattr(Particles, "_make", lambda self: (calls.append(1), make(self))[1])
    x = torch.ones(2, 20)
    for _ in range(3):
        with torch.no_grad():
            made(x)
        made(x).sum().backward()
    assert not calls  # made by the conversion
    optimizer = torch.optim.SGD(made.parameters(), 0.1)
    before = made(x)
    optimizer.step()
    assert not torch.equal(made(x), before) and len(calls) == 1
    made.parametrizations.weight[0].strengths.data.mul_(2)  # which PyTorch does not count as a change
    torch.testing.assert_close(made(x), materialize(made)(x))
    with torch.inference_mode():
        made(x)
        made.parametrizations.weight[0].places_in.data.add_(0.1)
        made(x)
    made(x).sum().backward()


def test_what_is_not_a_number_yet():
    """Exported, compiled by torch.func, differentiated by it: the places stay inputs of the program."""
    torch.manual_seed(0)
    made, x = converted(nn.Sequential(nn.Linear(20, 16), nn.Tanh()))[0].eval(), torch.randn(3, 20)
    program = torch.export.export(made, (x,))
    torch.testing.assert_close(program.module()(x), made(x), rtol=1e-5, atol=1e-5)
    assert any("places_in" in name for name in program.state_dict)
    parameters = dict(made.named_parameters())
    found = torch.func.grad(lambda p: torch.func.functional_call(made, p, (x,)).square().sum())(parameters)
    made(x).square().sum().backward()
    for name, parameter in made.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-3)


def test_assigned_weights_are_refused():
    made, _ = converted(nn.Linear(20, 16))
    with pytest.raises(ValueError, match=r"weight: got a tensor of shape .*; expected none"):
        made.weight = nn.Parameter(torch.zeros(16, 20))


def test_full_layers_may_compute_without_their_weights():
    torch.manual_seed(0)
    kernel = Kernel("linear", "l1")
    module = nn.Sequential(nn.Linear(20, 16), Doubling(16, 20), nn.Conv1d(20, 20, 1))
    made, _ = convert(module, **FEW, kernel=kernel)
    x = torch.randn(3, 20)
    dense = made[0](x)
    assert choose_inference(made, "weight-free") == ["0"]
    with torch.no_grad():
        torch.testing.assert_close(made[0](x), dense, rtol=1e-4, atol=1e-4)
    assert type(materialize(made)[0]) is nn.Linear
    with pytest.raises(ValueError, match="inference: got 'sparse'"):
        choose_inference(made, "sparse")


@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_weights_of_any_size(size):
    torch.manual_seed(0)
    weight = torch.randn(16, 20)
    reports = []
    for one in (1.0, size):
        module = nn.Linear(20, 16)
        with torch.no_grad():
            module.weight.copy_(weight * one)
        reports.append(converted(module)[1].layers[0])
    assert reports[1].error == pytest.approx(reports[0].error, rel=0.05)
    assert reports[1].svd_error == pytest.approx(reports[0].svd_error, rel=1e-3) and reports[0].svd_error > 0


def test_patterns_may_be_one_text():
    module = nn.ModuleDict({"fc": nn.Linear(20, 20), "head": nn.Linear(20, 20)})
    assert made_of_particles(converted(module, include="fc")[0]) == {"fc.weight"}
    assert made_of_particles(converted(module, exclude="f*")[0]) == {"head.weight"}


class ByKeyword(nn.Module):
    """Everything is called by keyword, and a norm through its function."""

    def __init__(self):
        super().__init__()
        self.c, self.bn = nn.Conv2d(3, 12, 3, bias=False), nn.BatchNorm2d(12)
        self.d, self.other = nn.Conv2d(12, 12, 3), nn.BatchNorm2d(12)
        self.fc = nn.Linear(12, 30)

    def forward(self, *, x):
        x = self.bn(input=self.c(input=x)).relu()
        x = nn.functional.conv2d(input=x, weight=self.d.weight, bias=self.d.bias)
        norm = self.other
        x = nn.functional.batch_norm(
            input=x, running_mean=norm.running_mean, running_var=norm.running_var, weight=norm.weight, bias=norm.bias,
            training=False,
        )  # fmt: skip
        return nn.functional.linear(bias=self.fc.bias, weight=self.fc.weight, input=x.mean((2, 3)))


@pytest.mark.parametrize("matched", [False, True])
def test_layers_and_norms_may_be_called_by_keyword(matched):
    torch.manual_seed(0)
    module = ByKeyword().eval()
    batch = {"x": torch.randn(8, 3, 9, 9)}
    made, report = convert(module, copies=2, dim=1, steps=3, example=batch, data=[batch] if matched else None)
    assert report.options["norms"] == 2 and report.options["norms_left"] == []
    assert all(layer.macs for layer in report.layers if layer.shape)
    assert not torch.equal(made.bn.running_var, module.bn.running_var)
    torch.testing.assert_close(made(**batch), materialize(made)(**batch))


def test_multiply_accumulates_of_attention_and_of_recurrent_layers():
    net = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    macs = {layer.name: layer.macs for layer in converted(net, example=torch.randn(2, 5, 16))[1].layers}
    assert macs["self_attn.in_proj_weight"] == 5 * 48 * 16 and macs["self_attn.out_proj"] == 5 * 16 * 16
    assert macs["linear1"] == macs["linear2"] == 5 * 16 * 32
    net = nn.LSTM(16, 16, batch_first=True).eval()
    macs = {layer.name: layer.macs for layer in converted(net, example=torch.randn(2, 5, 16))[1].layers}
    assert macs["weight_ih_l0"] == macs["weight_hh_l0"] == 5 * 64 * 16


def test_what_is_said_in_the_end_counts_the_whole_network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 4000))
    _, report = convert(net, budget=0.5, steps=2, exclude=["2"])
    whole = report.parameters / report.parameters_before
    assert whole > 0.99 > 0.5 >= report.share
    assert f"({whole:.3f}; {report.share:.3f} of the floats of the layers considered)" in report.headline
    assert str(report).endswith(report.headline)


@pytest.mark.parametrize(("options", "reason"), [
    ({"budget": 0.99}, "kept: the budget has room for its 64 weights"),
    ({"copies": 2, "dim": 8}, "kept: particles would be 258 floats for 64 weights"),
])  # fmt: skip
def test_why_weights_are_kept(options, reason):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 400))
    _, report = convert(net, steps=1, **options)
    assert report.layers[0].reason == reason


class Unreached(nn.Module):
    """A norm that the signals of no input reach."""

    def __init__(self):
        super().__init__()
        self.conv, self.used, self.unused = nn.Conv2d(3, 12, 3), nn.BatchNorm2d(12), nn.BatchNorm2d(12)

    def forward(self, x):
        x = self.conv(x)
        return self.used(x) if float(x.mean()) > -1e9 else self.unused(x)


@pytest.mark.parametrize("matched", [False, True])
def test_a_norm_that_nothing_reaches_is_named(matched):
    torch.manual_seed(0)
    batch = torch.randn(2, 3, 9, 9)
    options = {"data": [batch]} if matched else {"example": batch}
    _, report = convert(Unreached().eval(), copies=2, dim=1, steps=2, **options)
    assert report.options["norms"] == 1 and report.options["norms_left"] == ["unused"]
    assert "batch norms whose averages stay as they were: unused" in str(report)
    for left in ({"correct": False}, {"exclude": ["*"]}):  # nothing was to be corrected
        assert convert(Unreached().eval(), copies=2, dim=1, steps=2, **options, **left)[1].options["norms_left"] == []
