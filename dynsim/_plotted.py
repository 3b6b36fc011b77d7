"""The method `plot` of what can be drawn, for classes that know nothing of pictures.

What draws is named by the package, which knows both.
"""

from __future__ import annotations

import os


class Plotted:
    """A result, trajectory or model with a method `plot`.

    >>> import dynsim
    >>> issubclass(dynsim.trajectory.Trajectory, Plotted)
    True
    """

    figure_kind = "trajectories"  # drawn where none is named
    draw = None  # dynsim.plots.plot, loaded when it is first called

    def plot(self, kind: str | None = None, output: str | os.PathLike | None = None, **options):
        """Draw a figure of a kind (None: the usual one of this object) and save it where `output` names a file.

        Kinds, options, errors and result as for `dynsim.plots.plot`.
        """
        return self.draw(kind or self.figure_kind, output=output, **options)
