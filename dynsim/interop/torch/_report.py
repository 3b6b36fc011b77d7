"""What a conversion did, layer by layer; nothing is left out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np

from ._allocate import singular_values


@dataclass
class LayerReport:
    """One module that owns parameters.

    `weights` is how many weights it had; `floats` how many numbers stand for them now, shared ones counted once, where
    they come first. `error` is |W_places - W|^2 / |W|^2, and `svd_error` that of a truncated SVD with as many floats.
    MACs are multiply-accumulates for one input, of the weights (`macs`) and of making them (`macs_to_make`, per set of
    weights, whatever the batch); None where no input was given.
    """

    name: str
    kind: str
    converted: bool
    reason: str
    shape: tuple
    weights: int
    floats: int
    bytes: int
    copies: int | None = None
    dim: int | None = None
    rank: int | None = None
    kernel: str | None = None
    error: float | None = None
    svd_error: float | None = None
    macs: int | None = None
    macs_to_make: int | None = None
    shares: str = ""


@dataclass
class Report:
    """All layers, and the sums over them; `print(report)` is a table, `to_dict()` plain numbers and strings.

    Examples
    --------
    >>> report = Report([LayerReport("fc", "linear", False, "excluded", (2, 3), 6, 6, 24)])
    >>> report.share, report.parameters
    (1.0, 6)
    """

    layers: list
    seconds: float = 0.0
    options: dict = field(default_factory=dict)

    @property
    def candidates(self):
        """Layers that were converted or, for the budget's or size's sake, stayed with their weights."""
        return [layer for layer in self.layers if layer.converted or layer.reason.startswith("kept")]

    @property
    def share(self):
        """Floats of the candidates now, as a share of their weights."""
        before = sum(layer.weights for layer in self.candidates)
        return sum(layer.floats for layer in self.candidates) / before if before else 1.0

    @property
    def parameters(self):
        """Stored numbers of the whole module that are parameters."""
        return sum(layer.floats for layer in self.layers)

    @property
    def parameters_before(self):
        """The same before the conversion."""
        return sum(layer.weights for layer in self.layers)

    def to_dict(self):
        """Plain numbers and strings."""
        totals = {name: getattr(self, name) for name in ("share", "parameters", "parameters_before", "seconds")}
        return {**totals, "options": self.options, "layers": [asdict(layer) for layer in self.layers]}

    def __str__(self):
        """A table."""
        names = ("layer", "weights", "floats", "form", "error", "SVD", "MACs", "note")
        rows = [names]
        for layer in self.layers:
            form = ""
            if layer.converted:
                form = f"{layer.copies} x d {layer.dim}" + (f" + rank {layer.rank}" if layer.rank else "")
            rows.append(
                (layer.name, f"{layer.weights:,}", f"{layer.floats:,}", form, _short(layer.error),
                 _short(layer.svd_error), f"{layer.macs:,}" if layer.macs is not None else "",
                 layer.reason or (f"shares neurons with {layer.shares}" if layer.shares else ""))
            )  # fmt: skip
        widths = [max(len(row[k]) for row in rows) for k in range(len(names))]
        lines = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        converted = sum(layer.converted for layer in self.layers)
        lines.append(
            f"{converted} of {len(self.layers)} layers are particles: {self.parameters:,} numbers for "
            f"{self.parameters_before:,} ({self.share:.3f} of the floats of the layers considered), "
            f"{self.seconds:.1f} s"
        )
        return "\n".join(lines)


def _short(value):
    return "" if value is None else f"{value:.4f}"


def ordinary(entry):
    """The report of a layer that stays as it is."""
    own = sum(p.numel() for p in entry.module.parameters(recurse=False))
    stored = sum(p.numel() * p.element_size() for p in entry.module.parameters(recurse=False))
    weight = getattr(entry.module, "weight", None)
    shape = () if weight is None else tuple(weight.shape)
    return LayerReport(entry.name, entry.kind, False, entry.reason, shape, own, own, stored)


def converted(entry, fitted, kernel, particles):
    """The report of a layer that became particles."""
    module = entry.module
    before, now = (part.detach().double() for part in (module.weight, particles.materialize()))
    own = sum(p.numel() for p in module.parameters(recurse=False))
    floats = own - entry.size + fitted.floats
    tail = np.append(np.cumsum(singular_values(entry.weights)[::-1] ** 2)[::-1], 0.0)
    t, s, n, m = entry.shape
    rank = min(fitted.floats // (t * n + s * m), len(tail) - 1)
    return LayerReport(
        entry.name,
        entry.kind,
        True,
        "",
        tuple(module.weight.shape),
        own,
        floats,
        floats * module.weight.element_size(),
        fitted.strengths.shape[-1],
        fitted.sources.shape[-1],
        0 if fitted.left is None else fitted.left.shape[-1],
        f"{kernel.profile}, {kernel.metric}",
        float((now - before).square().sum() / before.square().sum()) if bool(before.any()) else 0.0,
        float(tail[rank] / tail[0]) if tail[0] else 0.0,
    )
