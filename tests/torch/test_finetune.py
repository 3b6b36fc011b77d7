"""Fine-tuning learns, stops and goes on, and knows what it is given."""

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")

from torch import nn  # noqa: E402

from dynsim.errors import FileError  # noqa: E402
from dynsim.torch import convert, distillation, finetune  # noqa: E402


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
