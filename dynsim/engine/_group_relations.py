"""Which groups act on which, in which order signals pass through them, and the weights between two groups."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

import numpy as np

from dynsim.kernels import pair_force, pair_matrix, pair_sum, relation, relation_forces

from ._received_signals import group_members

FEW_SIGNALS = 4
MOST_WEIGHTS = 2**24  # of one pair of groups that are kept as numbers, 128 MiB; larger ones are summed pair by pair


class Pair(NamedTuple):
    """Two groups of which one acts on the other: numbers, members, and lambda of each copy."""

    source: int
    target: int
    sources: slice | np.ndarray
    targets: slice | np.ndarray
    strengths: np.ndarray


class GroupRelations:
    """The pairs of groups of a system, and what passes between them in both directions; by other strengths, if given.

    `order` lists the groups so that all that act on a group stand before it, clamped ones last, as what they receive
    acts on nothing; it is None where groups act on each other in a circle, or on themselves.
    """

    def __init__(self, system, strengths=None):
        self.kernel, self.copies = system.kernel, system.copies
        self.accuracy, self.backend = system.accuracy, system.backend.name
        groups = np.zeros(system.neurons, int) if system.groups is None else system.groups
        table = system.strengths if strengths is None else strengths
        # To keep weights pays where they are used for several signals, or for the errors as well.
        self.most = MOST_WEIGHTS if system.signals >= FEW_SIGNALS or system.teacher is not None else 0
        self.sizes = np.bincount(groups, minlength=table.shape[-1])
        self.members = [group_members(groups, g) for g in range(len(self.sizes))]
        acts = np.any(table != 0.0, axis=0) & np.outer(self.sizes, self.sizes).astype(bool)
        for g in np.flatnonzero(self.sizes == 1):
            acts[g, g] = False  # nobody acts on itself
        self.pairs = [
            Pair(int(a), int(b), self.members[a], self.members[b], table[:, a, b].copy()) for a, b in np.argwhere(acts)
        ]
        self.clamped = sorted(system.clamped)
        self.order = _order(acts, self.clamped)
        self._known = {}  # the last weights of pairs, and of which places

    def onto(self, group):
        """The pairs that act on a group."""
        return [pair for pair in self.pairs if pair.target == group]

    def weights(self, pair, sources, targets):
        """sum_h lambda_h phi (n, m) of places (H, N, d), [to, from]; None where they would be too many numbers."""
        if self.sizes[pair.source] * self.sizes[pair.target] > self.most:
            return None
        of, to = sources[:, pair.sources], targets[:, pair.targets]
        key = pair.source, pair.target
        if key in self._known:
            weights, *places = self._known[key]
            if np.array_equal(places[0], of) and np.array_equal(places[1], to):
                return weights
        if pair.source == pair.target:
            weights = np.zeros((to.shape[1], of.shape[1]))
            for strength, source, target in zip(pair.strengths, of, to, strict=True):
                if strength != 0.0:  # 0 means no effect at all, where phi is infinite too
                    weights += strength * pair_matrix(self.kernel, source, target, exclude_self=True)
        else:
            used = np.flatnonzero(pair.strengths)
            strengths = pair.strengths[used][None, None]
            weights = relation(self.kernel, of[None, used], to[None, used], strengths)[0, 0]
        self._known[key] = weights, of.copy(), to.copy()
        return weights

    def passed(self, pair, sources, targets, E):
        """What a group receives of another that emits E (m, s): sum_h lambda_h phi E (n, s)."""
        weights = self.weights(pair, sources, targets)
        if weights is not None:
            return weights @ E
        return self._summed(pair, sources[:, pair.sources], targets[:, pair.targets], E)

    def returned(self, pair, sources, targets, S, *, exact=False):
        """What the error signals S (n, s) of a group are to one that acts on it: sum_h lambda_h phi S (m, s).

        To the accuracy of the system, or exact.
        """
        weights = self.weights(pair, sources, targets)
        if weights is not None:
            return weights.T @ S
        return self._summed(pair, targets[:, pair.targets], sources[:, pair.sources], S, exact)

    def gradients(self, pair, sources, targets, E, S):
        """Gradients of sum_ij S_i . E_j sum_h lambda_h phi in the places of both groups, (H, m, d) and (H, n, d)."""
        of, to = sources[:, pair.sources], targets[:, pair.targets]
        if self.sizes[pair.source] * self.sizes[pair.target] <= self.most:
            products = S @ E.T
            if pair.source == pair.target:
                np.fill_diagonal(products, 0.0)
            strengths = pair.strengths[None, None]
            on_sources, on_targets, _ = relation_forces(
                self.kernel, of[None], to[None], strengths, products[None, None]
            )
            return on_sources[0], on_targets[0]
        on_sources, on_targets = np.zeros_like(of), np.zeros_like(to)
        for h in np.flatnonzero(pair.strengths):
            how = self._how(pair)
            on_targets[h] = pair.strengths[h] * pair_force(self.kernel, of[h], to[h], E, S, **how)
            on_sources[h] = pair.strengths[h] * pair_force(self.kernel, to[h], of[h], S, E, **how)
        return on_sources, on_targets

    def _summed(self, pair, sources, targets, signals, exact=False):
        how = self._how(pair) | ({"accuracy": None} if exact else {})
        return sum(
            pair.strengths[h] * pair_sum(self.kernel, sources[h], targets[h], signals, **how)
            for h in np.flatnonzero(pair.strengths)
        )

    def _how(self, pair):
        return {"exclude_self": pair.source == pair.target, "accuracy": self.accuracy, "backend": self.backend}


def _order(acts, clamped):
    """Groups sorted along `acts` [from, to], the clamped ones last; None where there is a circle."""
    free = [g for g in range(len(acts)) if g not in clamped]
    before = {g: [k for k in np.flatnonzero(acts[:, g]).tolist() if k not in clamped] for g in free}
    try:
        return [*TopologicalSorter(before).static_order(), *clamped]
    except CycleError:
        return None
