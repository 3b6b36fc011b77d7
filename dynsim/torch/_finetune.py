"""Fine-tuning by forces on places: distillation from the original, on one processor or card, or on many by torchrun."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn import functional

from dynsim._check import as_count, as_number
from dynsim.errors import FileError
from dynsim.learning import one_cycle

from ._descent import NaturalDescent, moving
from ._matching import NORMS

LEAST = 0.1  # a parameter moves as one of at least this size: norms and biases may begin at 0


def finetune(
    module,
    teacher,
    loader,
    *,
    epochs,
    rate=0.001,
    others=0.001,
    temperature=2.0,
    labels=0.1,
    norms=True,
    device=None,
    mixed=None,
    checkpoint=None,
    validate=None,
    stop=None,
    progress=None,
):
    """Train a converted module to answer as the original did: places move by the forces that this exerts.

    The loss is (1 - labels) T^2 KL(teacher_T || module_T) + labels * cross entropy (Hinton et al., 2015). Places,
    lambdas and factors move by `NaturalDescent`, all other parameters by Adam at `others` times their root mean square,
    both on one cycle. A training loop of one's own over `module.parameters()`, with any optimiser, will do as well.

    Under `torchrun` (WORLD_SIZE above 1) every process trains on its part of the loader, and gradients are averaged
    (DistributedDataParallel); give each process a loader of its own part (DistributedSampler).

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place; the last state is kept.
    teacher : torch.nn.Module, or None
        The original. None if the loader yields the teacher's scores as a third part.
    loader : iterable
        Yields (inputs, labels) or (inputs, labels, scores) anew for every epoch; must have a length. With a
        `set_epoch(n)`, of it or its sampler, that is called first.
    epochs : int
    rate, others : float
        Peaks of the one-cycle schedules: of gradient descent on the weights that places stand for, and of all other
        parameters, relative to each one's size.
    temperature, labels : float
        T, and the share of the true labels in the loss.
    norms : bool
        Batch norms measure their averages on the batches, as in ordinary training; otherwise they keep the averages
        they have, as the teacher does: for inputs that are changed in ways that the original was not trained on.
    device : str or torch.device, optional
        Default: the card of this process if there is one, else the processor.
    mixed : bool, optional
        Compute in bfloat16 where that is safe; default on a card only. Weights are made in float32 all the same.
    checkpoint : path, optional
        Written after every epoch; when it is there at the start, training goes on from it.
    validate : callable, optional
        Called with the module after every epoch; its number is kept in the metrics.
    stop : callable, optional
        Asked after every epoch; when true, training ends there, to be gone on with from the checkpoint.
    progress : callable, optional
        Called after every batch with (epoch, step, steps, loss).

    Returns
    -------
    list of dict
        `epoch`, `loss`, `seconds` and `validation` for every epoch done so far.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or the loss is no longer finite.
    FileError
        If the checkpoint is of another training or damaged.

    Examples
    --------
    >>> from torch import nn
    >>> from dynsim.torch import convert
    >>> original = nn.Sequential(nn.Linear(20, 10))
    >>> module, _ = convert(original, copies=2, dim=2, steps=5)
    >>> data = [(torch.randn(8, 20), torch.zeros(8, dtype=torch.long))]
    >>> len(finetune(module, original, data, epochs=2))
    2
    """
    epochs, rate = as_count(epochs, "epochs"), as_number(rate, "rate", above=0)
    others = as_number(others, "others", above=0)
    temperature, labels = as_number(temperature, "temperature", above=0), as_number(labels, "labels", minimum=0)
    device = torch.device(device or (f"cuda:{_local()}" if torch.cuda.is_available() else "cpu"))
    module.to(device)
    if teacher is not None:
        teacher.to(device).eval()
    optimizers = _optimizers(module, rate, others)
    metrics, steps = [], len(loader)
    if checkpoint is not None and Path(checkpoint).exists():
        metrics = _restore(checkpoint, module, optimizers, epochs)
    trained = _distributed(module, device)
    half = torch.autocast(device.type, torch.bfloat16) if _mixed(mixed, device) else nullcontext()
    for epoch in range(len(metrics), epochs):
        began, total = time.perf_counter(), 0.0
        _set_epoch(loader, epoch)
        trained.train()
        for part in module.modules():
            if isinstance(part, NORMS) and not norms:
                part.eval()
        for optimizer in optimizers:
            if isinstance(optimizer, NaturalDescent):
                optimizer.refresh()  # so that what goes on from a checkpoint goes on from the same
        for step, batch in enumerate(loader):
            inputs, truth, *scores = (part.to(device, non_blocking=True) for part in batch)
            for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                group["lr"] = one_cycle(epoch * steps + step, epochs * steps, peak=group["peak"])
            with half:
                with torch.no_grad():
                    wanted = scores[0] if scores else teacher(inputs)
                answers = trained(inputs)
            loss = distillation(answers.float(), wanted.float(), truth, temperature, labels)
            if not bool(torch.isfinite(loss)):
                raise ValueError(f"finetune: loss is {float(loss.detach())} in epoch {epoch + 1}; lower the rates.")
            module.zero_grad(set_to_none=True)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            total += float(loss.detach())
            if progress is not None:
                progress(epoch, step, steps, float(loss.detach()))
        seconds = time.perf_counter() - began
        entry = {"epoch": epoch + 1, "loss": total / steps, "seconds": seconds}
        if validate is not None:
            entry["validation"] = float(validate(module))
        metrics.append(entry)
        if checkpoint is not None and _rank() == 0:
            _save(checkpoint, module, optimizers, metrics, epochs)
        if stop is not None and stop():
            break
    return metrics


def distillation(answers, wanted, truth, temperature, labels):
    """(1 - labels) T^2 KL(softmax(wanted / T) || softmax(answers / T)) + labels * cross entropy.

    >>> scores = torch.tensor([[2.0, 0.0]])
    >>> float(distillation(scores, scores, torch.tensor([0]), 3.0, 0.0))
    0.0
    """
    logs, targets = (functional.log_softmax(x / temperature, 1) for x in (answers, wanted))
    soft = functional.kl_div(logs, targets, reduction="batchmean", log_target=True) * temperature**2
    return (1 - labels) * soft + (labels * functional.cross_entropy(answers, truth) if labels else 0.0)


def _optimizers(module, rate, others):
    """Of what places stand for, and of all other parameters; every group knows the peak of its cycle."""
    found = []
    if moving(module):
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


def _set_epoch(loader, epoch):
    for part in (loader, getattr(loader, "sampler", None)):
        if hasattr(part, "set_epoch"):
            part.set_epoch(epoch)


def _save(path, module, optimizers, metrics, epochs):
    path, states = Path(path), [optimizer.state_dict() for optimizer in optimizers]
    state = {"module": module.state_dict(), "optimizers": states, "metrics": metrics, "epochs": epochs}
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _restore(path, module, optimizers, epochs):
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["epochs"] != epochs:
            raise ValueError(f"it is of {state['epochs']} epochs, asked for were {epochs}")
        module.load_state_dict(state["module"])
        for optimizer, stored in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(stored)
        return list(state["metrics"])
    except Exception as error:  # what a damaged file makes torch.load raise is not listed anywhere
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileError(f"{path}: no checkpoint of this training ({reason}); remove it to begin anew.") from None
