"""Methods that draw, play and export, for classes that know nothing of pictures and other packages.

What does it is named by the package, which knows both.
"""

from __future__ import annotations

import os

from ._described import Described


class Plotted(Described):
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


class Recorded(Plotted):
    """A trajectory or a solution: places and signals over time."""

    play = labelled = tabled = None  # of dynsim.plots and dynsim.trajectory, loaded when they are first called

    def view(self, output: str | os.PathLike | None = None, **options):
        """Return a page that plays it, which a notebook shows in the cell; or write it where `output` names a file.

        Options, errors and, with `output`, result as for `dynsim.plots.view`.
        """
        return self.play(output, **options)

    def to_xarray(self):
        """Return an xarray.Dataset, see `dynsim.trajectory.to_xarray`."""
        return self.labelled()

    def to_pandas(self):
        """Return a pandas.DataFrame, see `dynsim.trajectory.to_pandas`."""
        return self.tabled()
