"""What a conversion did, layer by layer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from html import escape

import numpy as np

from ._allocation import singular_values
from ._parametrisation import derived_weight
from ._particles import Particles


@dataclass
class LayerReport:
    """One weight, or one module that owns other parameters only.

    `weights` is how many parameters there were, `floats` how many there are now; of both `bias` are the other
    parameters of the module, which stand with the first of its weights. `error` is
    |W_now - W|^2 / |W|^2, and `svd_error` that of a truncated SVD with as many floats. `macs` are the layer's
    multiply-accumulates for one input, None where no example was given; `macs_to_make` those that make its weights
    from places and factors, once for any number of inputs. `bits` is 8 of a weight kept in integers,
    and `width` the bytes of a number of its type.
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
    bits: int | None = None
    macs: int | None = None
    macs_to_make: int | None = None
    bias: int = 0
    width: int = 4


@dataclass(repr=False)
class Report:
    """All layers, and the sums over them; `print(report)` is a table, `to_dict()` plain numbers and strings.

    Examples
    --------
    >>> report = Report([LayerReport("fc", "linear", False, "excluded", (2, 3), 6, 6, 24)])
    >>> report.share, report.parameters
    (1.0, 6)
    """

    layers: list[LayerReport]
    seconds: float = 0.0
    options: dict = field(default_factory=dict)

    @property
    def candidates(self) -> list[LayerReport]:
        """Layers that were converted, or kept their weights because of the budget, of their size, or of a stop."""
        return [layer for layer in self.layers if layer.converted or layer.reason.startswith("kept")]

    @property
    def share(self) -> float:
        """Floats of the candidates now, as a share of their weights; biases, which stay, are not counted."""
        before = sum(layer.weights - layer.bias for layer in self.candidates)
        return sum(layer.floats - layer.bias for layer in self.candidates) / before if before else 1.0

    @property
    def bytes_share(self) -> float:
        """The same of their bytes."""
        before = sum((layer.weights - layer.bias) * layer.width for layer in self.candidates)
        return sum(layer.bytes - layer.bias * layer.width for layer in self.candidates) / before if before else 1.0

    @property
    def parameters(self) -> int:
        """Stored numbers of the whole module that are parameters."""
        return sum(layer.floats for layer in self.layers)

    @property
    def parameters_before(self) -> int:
        """The same before the conversion."""
        return sum(layer.weights for layer in self.layers)

    def to_dict(self) -> dict:
        """Plain numbers and strings."""
        names = ("share", "bytes_share", "parameters", "parameters_before", "seconds")
        totals = {name: getattr(self, name) for name in names}
        return {**totals, "options": self.options, "layers": [asdict(layer) for layer in self.layers]}

    def __str__(self) -> str:
        """A table."""
        rows = self._rows()
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        if self.options.get("norms_left"):
            lines.append(f"batch norms whose averages stay as they were: {', '.join(self.options['norms_left'])}")
        lines.append(self.headline)
        return "\n".join(lines)

    def _repr_html_(self):
        lines = ["".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in self._rows()]
        table = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<table><caption>{escape(self.headline)}</caption>{table}</table>"

    def __repr__(self):
        return f"<Report: {self.headline}>"

    def _rows(self):
        """Cells of the table, its head first."""
        names = ("layer", "weights", "floats", "form", "error", "SVD", "MACs", "note")
        rows = [names]
        for layer in self.layers:
            form = ""
            if layer.converted:
                form = f"{layer.copies} x d {layer.dim}" + (f" + rank {layer.rank}" if layer.rank else "")
                form = form if layer.bits is None else f"{layer.bits} bits"
            rows.append(
                (layer.name, f"{layer.weights:,}", f"{layer.floats:,}", form, _short(layer.error),
                 _short(layer.svd_error), f"{layer.macs:,}" if layer.macs is not None else "",
                 layer.reason)
            )  # fmt: skip
        return rows

    @property
    def headline(self) -> str:
        """One line: how many layers, numbers and bytes there are now."""
        particles = sum(layer.converted and layer.bits is None for layer in self.layers)
        rounded = sum(layer.bits is not None for layer in self.layers)
        kept = f" and {rounded} in 8 bits" if rounded else ""
        whole = self.parameters / self.parameters_before if self.parameters_before else 1.0
        considered = f"{self.share:.3f} of the floats of the layers considered"
        if rounded:
            considered = f"{self.bytes_share:.3f} of the bytes of the layers considered"
        return (
            f"{particles} of {len(self.layers)} layers are particles{kept}: {self.parameters:,} numbers for "
            f"{self.parameters_before:,} ({whole:.3f}; {considered}), {self.seconds:.1f} s"
        )


def _short(value):
    return "" if value is None else f"{value:.4f}"


def ordinary_layer(entry, macs):
    """The report of a weight that stays as it is, or of a module without one."""
    weight, own = entry.parameter, entry.size + entry.others
    made = None if weight is None else derived_weight(*entry.owners[0])
    floats = own if made is None else sum(part.numel() for part in made.parameters()) + entry.others
    width = next((p.element_size() for p in entry.module.parameters()), 4) if weight is None else weight.element_size()
    shape = () if weight is None else tuple(weight.shape)
    bias = entry.others if entry.size else 0
    return LayerReport(
        entry.name, entry.kind, False, entry.reason, shape, own, floats, floats * width, bias=bias, macs=macs,
        width=width,
    )  # fmt: skip


def converted_layer(entry, before, made, macs):
    """The report of a weight that became particles, or is kept in 8 bits; `before` is it as (T, S, n, m)."""
    now = entry.layout.array(entry.parameter).astype(np.float64)
    before = before.astype(np.float64)
    t, s, n, m = entry.shape
    stored = [*made.parameters(), *made.buffers()]
    own, width = sum(part.numel() for part in stored), entry.parameter.element_size()
    taken = sum(part.numel() * part.element_size() for part in stored)
    tail = np.append(np.cumsum(singular_values(before)[::-1] ** 2)[::-1], 0.0)
    rank = min(taken // width // (t * n + s * m), len(tail) - 1)
    size = float(np.square(before / (np.abs(before).max() or 1.0)).sum())
    error = float(np.square((now - before) / (np.abs(before).max() or 1.0)).sum())
    form = {"bits": 8, "macs_to_make": entry.size}
    if isinstance(made, Particles):
        each = made.copies * made.dim * (1 if made.sets == "half" else 2) + made.rank
        form = {"copies": made.copies, "dim": made.dim, "rank": made.rank, "macs_to_make": entry.size * each}
        form["kernel"] = f"{made.kernel.profile}, {made.kernel.metric}"
    return LayerReport(
        name=entry.name,
        kind=entry.kind,
        converted=True,
        reason="",
        shape=tuple(entry.parameter.shape),
        weights=entry.size + entry.others,
        floats=own + entry.others,
        bytes=taken + entry.others * width,
        **form,
        error=error / size if size else 0.0,
        svd_error=float(tail[rank] / tail[0]) if tail[0] else 0.0,
        macs=macs,
        bias=entry.others,
        width=width,
    )
