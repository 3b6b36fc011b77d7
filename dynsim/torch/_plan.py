"""Which form each layer gets under a common budget: copies, dimension, low rank, kernel."""

from __future__ import annotations

from dataclasses import dataclass

from ._allocate import Curve, allocate

LOW_RANK = (0.0, 1 / 3)  # shares of a neuron's numbers that are tried for the low-rank part


def plan_budget(todo, budget, copies, rank, kernels, sets, fits):
    """{name: (copies, dim, rank, kernels)}: shares by singular values, forms by short fits, shares again by both."""
    curves = {}
    for entry in todo:
        # The fewest copies leave the most choice; the lambdas are those of the most, so that there is room for all.
        curves[entry.name] = Curve(entry.weights, _steps(entry, copies[0], sets)[0], _steps(entry, copies[-1], sets)[1])
    first = dict(zip(curves, allocate(list(curves.values()), budget), strict=True))
    shares = LOW_RANK if rank is None else (0.0,)
    trials = []
    for entry in todo:
        if not curves[entry.name].kept(first[entry.name]):
            forms = _forms(entry, first[entry.name], shares, copies, sets, rank)
            trials += [(entry, form, kernel) for form in forms for kernel in kernels]
    fits.total = len(trials) + len(todo)
    best = {}
    for entry, form, kernel in trials:
        fitted, _ = fits(entry, (*form.sizes, kernels), kernel, trial=True)
        if entry.name not in best or fitted.error < best[entry.name][0]:
            best[entry.name] = fitted.error, form, kernel
    for entry in todo:
        if entry.name in best:
            error, form, _ = best[entry.name]
            curves[entry.name].measured(first[entry.name], error)
            curves[entry.name].step, curves[entry.name].extra = _steps(entry, form.copies, sets)
    last = dict(zip(curves, allocate(list(curves.values()), budget), strict=True))
    plan = {}
    for entry in todo:
        _, form, kernel = best.get(entry.name, (0.0, _Form(copies[0], 0.0), kernels[0]))
        (form,) = _forms(entry, last[entry.name], [form.share], [form.copies], sets, rank)
        plan[entry.name] = (*form.sizes, [kernel])
    return plan


def _steps(entry, copies, sets):
    """What q is a multiple of, and how many lambdas there are."""
    t, s, *_ = entry.shape
    halves = 2 if sets_of(entry, sets) == "full" else 1
    return copies * halves, t * s * copies * halves


@dataclass(frozen=True)
class _Form:
    """Copies, the share of the numbers meant for a low-rank part, and the (copies, dim, rank) that came of it."""

    copies: int
    share: float
    sizes: tuple = ()


def _forms(entry, q, shares, copies, sets, rank):
    """The forms of q numbers a neuron; what dims do not take goes to a low-rank part, unless a rank is given."""
    found = {}
    for number in copies:
        unit = number * (2 if sets_of(entry, sets) == "full" else 1)
        for share in shares:
            dim = min(max(1, round(q * (1 - share) / unit)), q // unit)
            if dim:
                sizes = (number, dim, q - dim * unit if rank is None else 0)
                found.setdefault(sizes, _Form(number, share, sizes))
    return list(found.values())


def floats_of(entry, form, sets):
    """Numbers that a layer has in a form (copies, dim, rank, ...)."""
    t, s, n, m = entry.shape
    copies, dim, rank, _ = form
    halves = 2 if sets_of(entry, sets) == "full" else 1
    return halves * copies * (dim * (s * m + t * n) + t * s) + rank * (s * m + t * n)


def sets_of(entry, sets):
    """A layer's sets: what convolutions are asked for, and half sets where there is one place on both sides."""
    return sets if entry.kind == "conv" and entry.shape[:2] != (1, 1) else "half"
