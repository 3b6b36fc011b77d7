"""Fine-tuning by forces on places: distillation from the original, on one processor or card, or on many by torchrun."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, distributed, fx, nn
from torch.nn import functional

from dynsim._check import as_callable, as_count, as_number, refusal
from dynsim._files import expect_input, expect_output, reason, replacing
from dynsim.errors import DivergedError, FileError
from dynsim.learning import one_cycle

from ._batches import length_of, mapped, moved, parts_of, scores_of, send
from ._module_measures import noisy
from ._natural_descent import NaturalDescent
from ._norm_averages import adopt_averages, same_norms
from ._particles import DerivedWeights
from ._watching import Watcher

NORMS = nn.modules.batchnorm._NormBase
AVERAGED = 512  # inputs, or all of an epoch, on which the averages of norms are corrected in the end
LEAST = 0.1  # least size of a vector for its rate: norms and biases may begin at 0


def finetune(
    module: nn.Module,
    teacher: nn.Module | None,
    *,
    loader: Iterable,
    epochs: int,
    rate: float = 0.001,
    others: float = 0.001,
    temperature: float = 2.0,
    labels: float = 0.1,
    norms: bool = True,
    noise: float = 0.0,
    device: str | torch.device | None = None,
    mixed: bool | None = None,
    checkpoint: str | Path | None = None,
    validate: Callable | None = None,
    progress: Callable | None = None,
) -> list[dict]:
    """Train a converted module to reproduce the answers of the original: places move by the resulting forces.

    The loss is (1 - labels) T^2 KL(teacher_T || module_T) + labels * cross entropy (Hinton et al., 2015). Places,
    lambdas and factors move by `NaturalDescent`, all other parameters by Adam at `others` times their root mean square,
    both on one cycle. Your own training loop over `module.parameters()`, with any optimiser, works as well.

    Under `torchrun` (WORLD_SIZE above 1) every process trains on its part of the loader, and gradients are averaged
    (DistributedDataParallel); give each process a loader of its part (DistributedSampler).

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place; the last state is kept. It trains or evaluates afterwards as it did before.
    teacher : torch.nn.Module, or None
        The original. None if the loader yields the teacher's scores as a third part.
    loader : iterable
        Yields inputs, (inputs, labels) or (inputs, labels, scores) anew for every epoch, or tables with "labels" (and
        "scores") among the inputs' names; must have a length. With a `set_epoch(n)`, of it or its sampler, that is
        called first.
    epochs : int
    rate, others : float
        Peaks of the one-cycle schedules: of gradient descent on the weights that places stand for, and of all other
        parameters, relative to each one's size.
    temperature, labels : float
        T, and the share of the true labels in the loss.
    norms : bool
        Batch norms take the averages of the batch, as in ordinary training, and those of a teacher that has the same
        norms do so, too: inputs may then be changed in ways that the original was not trained on, such as sums of two
        images. The averages that remain are the teacher's, corrected by what is different on the last batches. Without
        such a teacher (one whose norms have other names is none) and with norms that exchange their averages
        (SyncBatchNorm) they are measured on all batches, as in ordinary training. If false, all norms keep theirs;
        those of programs do in any case.
    noise : float
        Every step follows the gradient where all stored numbers are off by uniform noise of this size, relative to the
        root mean square of their tensor: what is learned then stands such noise (see `noisy`).
    device : str or torch.device, optional
        Default: the card of this process if there is one, else the processor.
    mixed : bool, optional
        Compute in bfloat16 where that is safe; default on a card only. Weights are computed in float32 in any case.
    checkpoint : path, optional
        Written after every epoch; if it exists at the start, training continues from it.
    validate : callable, optional
        Called with the module after every epoch; its number is kept in the metrics.
    progress : callable, optional
        Called as progress(done, total, epoch=, loss=) after every batch, with numbers of batches. When it returns true,
        training ends with this batch, to be continued from the checkpoint of the last whole epoch; under `torchrun` it
        must return the same in every process.

    Returns
    -------
    list of dict
        `epoch`, `loss`, `seconds` and `validation` for every whole epoch.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.
    DivergedError
        If the loss is no longer finite.
    FileError
        If the checkpoint is of another training or damaged.

    Examples
    --------
    >>> from torch import nn
    >>> from dynsim.torch import convert
    >>> original = nn.Sequential(nn.Linear(20, 10))
    >>> module, _ = convert(original, copies=2, dim=2, steps=5)
    >>> data = [(torch.randn(8, 20), torch.zeros(8, dtype=torch.long))]
    >>> len(finetune(module, original, loader=data, epochs=2))
    2
    """
    epochs, rate = as_count(epochs, "epochs"), as_number(rate, "rate", above=0)
    others = as_number(others, "others", above=0)
    as_callable(validate, "validate"), as_callable(progress, "progress")
    temperature, labels = as_number(temperature, "temperature", above=0), as_number(labels, "labels", minimum=0)
    noise = as_number(noise, "noise", minimum=0)
    device = torch.device(device or (f"cuda:{_local()}" if torch.cuda.is_available() else "cpu"))
    module.to(device)
    if teacher is not None:
        teacher.to(device)
    optimizers = _optimizers(module, rate, others)
    metrics, steps, stopped = [], len(loader), False
    if checkpoint is not None:
        expect_output(checkpoint)
    if checkpoint is not None and Path(checkpoint).exists():
        metrics = _restore(checkpoint, module, optimizers, epochs)
    trained = _distributed(module, device)
    half = torch.autocast(device.type, torch.bfloat16) if _mixed(mixed, device) else nullcontext()
    own = norms and teacher is not None and same_norms(teacher, module) and not _fixed(module)
    modes = [(part, part.training) for net in (module, teacher) if net is not None for part in net.modules()]
    try:
        if teacher is not None:
            teacher.eval()
        for epoch in range(len(metrics), epochs):
            began, total, last = time.perf_counter(), 0.0, []
            _set_epoch(loader, epoch)
            trained.train()
            for part in module.modules():
                if isinstance(part, NORMS) and not norms:
                    part.eval()
            for optimizer in optimizers:
                if isinstance(optimizer, NaturalDescent):
                    optimizer.refresh()  # so that a training continued from a checkpoint has the same mobilities
            for done, batch in enumerate(loader, epoch * steps):
                inputs, truth, scores = parts_of(moved(batch, device))
                length_of(inputs, "loader")
                if scores is None and teacher is None:
                    raise refusal("teacher", None, "the original, as the loader gives no scores")
                if own and scores is None:
                    last = _last([*last, inputs])
                for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                    group["lr"] = one_cycle(done, epochs * steps, peak=group["peak"])
                with half, torch.no_grad(), Watcher({}, {}, lambda use: None, own) if own else nullcontext():
                    wanted = scores  # a network may change its input
                    if scores is None:
                        wanted = scores_of(send(teacher, mapped(inputs, Tensor.clone)))
                with noisy(module, noise, seed=done, relative=True):
                    with half:
                        answers = scores_of(send(trained, mapped(inputs, Tensor.clone)))
                    loss = distillation(
                        answers.float(), wanted.float(), truth=truth, temperature=temperature, labels=labels
                    )
                    lost = float(loss.detach())
                    if not math.isfinite(lost):
                        raise DivergedError(f"finetune: loss is {lost} in epoch {epoch + 1}; lower the rates.")
                    module.zero_grad(set_to_none=True)
                    loss.backward()
                for optimizer in optimizers:
                    optimizer.step()
                total += lost
                if progress is not None and progress(done + 1, epochs * steps, epoch=epoch + 1, loss=lost):
                    stopped = True
                    break
            if last and (stopped or epoch + 1 == epochs or validate is not None or checkpoint is not None):
                adopt_averages(teacher, module, last)
                _exchange(module)
            if stopped and done + 1 < (epoch + 1) * steps:
                break
            seconds = time.perf_counter() - began
            entry = {"epoch": epoch + 1, "loss": total / steps, "seconds": seconds}
            if validate is not None:
                entry["validation"] = float(validate(module))
            metrics.append(entry)
            if checkpoint is not None and _rank() == 0:
                _save(checkpoint, module, optimizers, metrics, epochs)
            if stopped:
                break
    finally:
        for part, mode in modes:
            part.training = mode
    return metrics


def distillation(answers: Tensor, wanted: Tensor, *, truth: Tensor | None, temperature: float, labels: float) -> Tensor:
    """(1 - labels) T^2 KL(softmax(wanted / T) || softmax(answers / T)) + labels * cross entropy.

    Scores are (..., classes), and labels (...); all examples count alike.

    Raises
    ------
    ValueError
        If labels have a share and there are none.

    Examples
    --------
    >>> scores = torch.tensor([[2.0, 0.0]])
    >>> float(distillation(scores, scores, truth=torch.tensor([0]), temperature=3.0, labels=0.0))
    0.0
    """
    if labels and truth is None:
        raise refusal("labels", f"{labels:g} with batches that have none", "0 without labels")
    answers, wanted = (x.reshape(-1, x.shape[-1]) for x in (answers, wanted))
    logs, targets = (functional.log_softmax(x / temperature, 1) for x in (answers, wanted))
    soft = functional.kl_div(logs, targets, reduction="batchmean", log_target=True) * temperature**2
    return (1 - labels) * soft + (labels * functional.cross_entropy(answers, truth.reshape(-1)) if labels else 0.0)


def _optimizers(module, rate, others):
    """For particles, and for all other parameters; every group holds the peak of its cycle."""
    found = []
    if any(isinstance(part, DerivedWeights) and part.parts() for part in module.modules()):
        found.append(NaturalDescent(module, rate))
        for group in found[0].param_groups:
            group["peak"] = rate
    taken = {id(p) for optimizer in found for group in optimizer.param_groups for p in group["params"]}
    rest = [p for p in module.parameters() if p.requires_grad and id(p) not in taken]
    if rest:
        found.append(torch.optim.Adam([{"params": [p], "peak": others * _size(p)} for p in rest]))
    return found


def _size(parameter):
    return max(LEAST if parameter.dim() <= 1 else 1e-6, float(parameter.detach().square().mean().sqrt()))


def _mixed(mixed, device):
    return device.type == "cuda" if mixed is None else mixed


def _distributed(module, device):
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return module
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return nn.parallel.DistributedDataParallel(module, [device] if device.type == "cuda" else None)


def _local():
    return int(os.environ.get("LOCAL_RANK", "0"))


def _rank():
    return int(os.environ.get("RANK", "0"))


def _fixed(module):
    """Whether norms of a module do not take the averages of its batch alone while it trains."""
    return any(isinstance(part, (fx.GraphModule, nn.SyncBatchNorm)) for part in module.modules())


def _exchange(module):
    """Give all processes the averages of the first."""
    if distributed.is_available() and distributed.is_initialized():
        for buffer in module.buffers():
            distributed.broadcast(buffer, 0)


def _last(batches):
    """The fewest of the last batches that have as many inputs as the averages are corrected on."""
    while sum(map(length_of, batches[1:])) >= AVERAGED:
        batches = batches[1:]
    return batches


def _set_epoch(loader, epoch):
    for part in (loader, getattr(loader, "sampler", None)):
        if hasattr(part, "set_epoch"):
            part.set_epoch(epoch)


def _save(path, module, optimizers, metrics, epochs):
    states = [optimizer.state_dict() for optimizer in optimizers]
    state = {"module": module.state_dict(), "optimizers": states, "metrics": metrics, "epochs": epochs}
    with replacing(path) as temporary:
        torch.save(state, temporary)


def _restore(path, module, optimizers, epochs):
    try:
        state = torch.load(expect_input(path), map_location="cpu", weights_only=True)
        if state["epochs"] != epochs:
            raise ValueError(f"it is of {state['epochs']} epochs, not of {epochs}")
        module.load_state_dict(state["module"])
        for optimizer, stored in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(stored)
        return list(state["metrics"])
    except Exception as error:  # what a damaged file makes torch.load raise is not listed anywhere
        raise FileError(
            f"{path} is no checkpoint of this training ({reason(error)}); remove it to begin anew."
        ) from None
