"""A figure that notebooks show."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure

_SHOWN = 2 / 3  # of its size in pixels, as wide as a notebook


class Picture(Figure):
    """A matplotlib Figure that IPython shows as PNG at the end of a cell, without pyplot and its magic commands."""

    def _repr_png_(self):
        content = BytesIO()
        self.savefig(content, format="png")
        return content.getvalue(), {"width": round(_SHOWN * self.bbox.width)}
