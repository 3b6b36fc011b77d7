"""Fine-tuning learns, stops and goes on, and knows what it is given."""

import copy

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")

from torch import nn  # noqa: E402

from dynsim.errors import FileError  # noqa: E402
from dynsim.torch import convert, distillation, finetune, load_source  # noqa: E402


def case():
    torch.manual_seed(0)
    original = nn.Sequential(nn.Linear(20, 24), nn.LayerNorm(24), nn.ReLU(), nn.Linear(24, 5))
    module, _ = convert(original, copies=2, dim=2, steps=2)
    x = torch.randn(4, 16, 20)
    batches = [(part, original.eval()(part).argmax(1)) for part in x]
    return original, module, batches


def distance(original, module, batches):
    with torch.no_grad():
        pairs = [(module.eval()(x), original.eval()(x), labels) for x, labels in batches]
        return sum(float(distillation(a, w, truth=t, temperature=2.0, labels=0.0)) for a, w, t in pairs)


def test_it_comes_nearer_to_the_original():
    original, module, batches = case()
    with torch.no_grad():  # knocked a third of their size away: a fit begins too near for much to be gained
        for name, part in module.named_parameters():
            if "places" in name:
                part.add_(part.square().mean().sqrt() / 3 * torch.randn_like(part))
    before = distance(original, module, batches)
    metrics = finetune(module, original, loader=batches, epochs=15, rate=0.05, labels=0.0, validate=lambda m: 7)
    assert distance(original, module, batches) < 0.3 * before
    assert metrics[-1]["loss"] < 0.5 * metrics[0]["loss"] and metrics[-1]["validation"] == 7 and len(metrics) == 15


def test_scores_may_come_with_the_batches():
    original, module, batches = case()
    _, other, _ = case()
    with torch.no_grad():
        given = [(x, labels, original(x)) for x, labels in batches]
    finetune(module, original, loader=batches, epochs=2)
    finetune(other, None, loader=given, epochs=2)
    for one, two in zip(module.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-6)


def normed():
    """A network whose norms know their inputs, and its copy."""
    torch.manual_seed(0)
    original = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 5))
    for _ in range(40):
        original(1.5 * torch.randn(64, 3, 6, 6) + 0.3)
    return original.eval(), copy.deepcopy(original)


def norms(net):
    return net[1].running_mean, net[1].running_var


@pytest.mark.parametrize("together", [True, False])
def test_batches_of_another_kind_leave_the_averages_of_the_original(together):
    original, module = normed()
    given = [tensor.clone() for tensor in norms(original)]
    strange = [(5 * torch.rand(32, 3, 6, 6), torch.zeros(32, dtype=torch.long)) for _ in range(20)]
    batches = strange if together else [(*batch, original(batch[0]).detach()) for batch in strange]
    teacher = original if together else None
    fine = {"rate": 1e-6, "others": 1e-6, "labels": 0.0, "device": "cpu"}
    metrics = finetune(module, teacher, loader=batches, epochs=1, **fine)
    near = [torch.allclose(one, two, rtol=1e-3, atol=1e-3) for one, two in zip(norms(module), given, strict=True)]
    assert near == ([True, True] if together else [False, False])
    assert (metrics[0]["loss"] < 1e-6) == together  # both see the averages of the batch, or the module alone
    for one, two in zip(norms(original), given, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_averages_are_corrected_by_what_training_changed():
    original, module = normed()
    x = 1.5 * torch.randn(4096, 3, 6, 6) + 0.3
    strange = 5 * torch.rand(512, 3, 6, 6)
    with torch.no_grad():
        module[0].weight.mul_(1.5)
        module[0].bias.add_(2.0)
        module[1].running_mean.fill_(7.0)  # of no use any more
    fine = {"rate": 1e-9, "others": 1e-9, "labels": 0.0, "device": "cpu"}
    stopped = finetune(
        module, original, loader=[strange] * 2, epochs=1, **fine, progress=lambda done, *_, **__: done == 1
    )
    assert stopped == []  # in the middle of the epoch, after which averages are right, too
    with torch.no_grad():
        signal = module[0](x)
        torch.testing.assert_close(module[1].running_mean, signal.mean((0, 2, 3)), rtol=0.05, atol=0.05)
        torch.testing.assert_close(module[1].running_var, signal.var((0, 2, 3)), rtol=0.05, atol=0.0)


def test_norms_of_programs_keep_their_averages_in_both_networks(tmp_path):
    original, _ = normed()
    x = 5 * torch.rand(32, 3, 6, 6)
    torch.export.save(torch.export.export(original, (x,)), tmp_path / "network.pt2")
    (program, _), (other, _) = load_source(tmp_path / "network.pt2"), load_source(tmp_path / "network.pt2")
    fine = {"rate": 1e-9, "others": 1e-9, "labels": 0.0, "device": "cpu"}
    for teacher in (original, other):
        assert finetune(program, teacher, loader=[x] * 3, epochs=1, **fine)[0]["loss"] < 1e-6


def test_norms_of_single_images_have_the_averages_of_the_original_in_the_end():
    torch.manual_seed(0)
    original = nn.Sequential(nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8, track_running_stats=True), nn.Flatten())
    original.append(nn.Linear(128, 5))
    for _ in range(20):
        original(torch.randn(16, 3, 6, 6))
    given = [tensor.clone() for tensor in norms(original.eval())]
    for together in (True, False):
        module = copy.deepcopy(original)
        fine = {"rate": 1e-9, "others": 1e-9, "labels": 0.0, "device": "cpu", "norms": together}
        assert finetune(module, original, loader=[5 * torch.rand(8, 3, 6, 6)], epochs=1, **fine)[0]["loss"] < 1e-6
        for one, two in zip(norms(module), given, strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_a_network_may_change_its_input():
    class Changing(nn.Linear):
        def forward(self, x):
            return super().forward(x.mul_(0.5))

    net, x = Changing(20, 5), torch.ones(8, 20)
    fine = {"rate": 1e-9, "others": 1e-9, "labels": 0.0, "device": "cpu"}
    assert finetune(copy.deepcopy(net), net, loader=[x], epochs=1, **fine)[0]["loss"] < 1e-9 and x.eq(1).all()


@pytest.mark.parametrize(
    ("loader", "teacher", "said"),
    [
        ([torch.ones(4, 20)], False, "teacher: got None"),
        ([("x", None)], True, "loader: got a batch that is a str"),
        ([torch.zeros(0, 20)], True, "loader: got a batch without inputs"),
    ],
)
def test_what_does_not_fit_is_said(loader, teacher, said):
    original, module, _ = case()
    with pytest.raises((TypeError, ValueError), match=said):
        finetune(module, original if teacher else None, loader=loader, epochs=1, labels=0.0)


@pytest.mark.parametrize("mode", [True, False])
def test_modes_are_as_before(mode):
    original, module, batches = case()
    original.train(mode), module.train(not mode)
    module[1].train(mode)  # one part unlike the rest
    before = [part.training for net in (original, module) for part in net.modules()]
    finetune(module, original, loader=batches, epochs=1)
    assert [part.training for net in (original, module) for part in net.modules()] == before
    with pytest.raises(ValueError, match="loss is"):
        finetune(module, original, loader=[(x * float("inf"), labels) for x, labels in batches], epochs=1)
    assert [part.training for net in (original, module) for part in net.modules()] == before


def test_what_was_stopped_goes_on(tmp_path):
    path = tmp_path / "training.pt"
    original, whole, batches = case()
    finetune(whole, original, loader=batches, epochs=4)
    _, module, _ = case()
    assert (
        len(
            finetune(
                module,
                original,
                loader=batches,
                epochs=4,
                checkpoint=path,
                progress=lambda done, *_, **facts: done == 6,
            )
        )
        == 1
    )
    _, again, _ = case()
    assert len(finetune(again, original, loader=batches, epochs=4, checkpoint=path)) == 4
    for one, two in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    with pytest.raises(FileError, match="it is of 4 epochs"):
        finetune(again, original, loader=batches, epochs=5, checkpoint=path)
    path.write_bytes(b"nothing")
    with pytest.raises(FileError, match="no checkpoint of this training"):
        finetune(again, original, loader=batches, epochs=4, checkpoint=path)


def test_it_stops_after_the_batch_that_it_is_told():
    original, module, batches = case()
    seen = []

    def progress(done, total, *, epoch, loss):
        seen.append((done, total, epoch))
        return done == 4

    assert len(finetune(module, original, loader=batches, epochs=2, progress=progress)) == 1
    assert seen == [(1, 8, 1), (2, 8, 1), (3, 8, 1), (4, 8, 1)]


def test_a_loss_that_is_lost_is_named():
    original, module, batches = case()
    with pytest.raises(ValueError, match=r"loss is (nan|inf) in epoch 1; lower the rate"):
        finetune(module, original, loader=[(x * float("inf"), labels) for x, labels in batches], epochs=1)
    with pytest.raises(ValueError, match="epochs: got 0"):
        finetune(module, original, loader=batches, epochs=0)


def test_distillation_is_its_formula():
    answers, wanted = torch.randn(3, 4), torch.randn(3, 4)
    truth = torch.tensor([0, 3, 1])
    p, q = (wanted / 2).softmax(1), (answers / 2).softmax(1)
    soft = 4 * (p * (p / q).log()).sum(1).mean()
    hard = -answers.log_softmax(1)[torch.arange(3), truth].mean()
    torch.testing.assert_close(
        distillation(answers, wanted, truth=truth, temperature=2.0, labels=0.3), 0.7 * soft + 0.3 * hard
    )
