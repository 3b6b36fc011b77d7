"""The figure of a Lyapunov exponent."""

import numpy as np
import pytest

from dynsim.engine import Lyapunov, Operators, System, lyapunov
from dynsim.plots import available, plot, usual_kind


def made(rates, **options):
    rates = np.asarray(rates, dtype=float)
    t = np.arange(1.0, len(rates) + 1)
    values = np.cumsum(rates) / t
    return Lyapunov(values[-1] if len(rates) else np.nan, 0.1, t, values, rates, **options)


@pytest.mark.filterwarnings("error", "ignore::DeprecationWarning")  # an old Matplotlib with a new pyparsing
def test_it_is_drawn(tmp_path):
    found = lyapunov(System([[1.0]], operators=Operators(F=-1.0)), (0.0, 10.0))
    figure = found.plot(output=tmp_path / "exponent.png")
    assert (tmp_path / "exponent.png").read_bytes()[:4] == b"\x89PNG"
    axes = figure.axes[0]
    assert "Largest Lyapunov exponent -1" in axes.get_title() and axes.get_xlabel() and axes.get_ylabel()
    curve = max(axes.lines, key=lambda line: line.get_linewidth())
    np.testing.assert_array_equal(curve.get_ydata(), found.values)
    low, high = axes.get_ylim()
    assert low < -1.0 and high > 0.0
    assert usual_kind(found) == "lyapunov" and available(found) == ["lyapunov"]
    assert found.plot(title="mine", size=(600, 400)).axes[0].get_title() == "mine"


@pytest.mark.filterwarnings("error", "ignore::DeprecationWarning")  # an old Matplotlib with a new pyparsing
@pytest.mark.parametrize("rates", [[1.0], [0.0] * 40, [1.0, -1.0] * 20, [1e100, 1.0, 1.0], [1e-9] * 30])
def test_of_all_sizes(rates):
    found = made(rates, status=-1, message="It was lost.")
    figure = found.plot()
    figure.draw_without_rendering()
    assert "It was lost." in figure.get_supxlabel()


def test_what_has_no_intervals_is_refused():
    with pytest.raises(ValueError, match=r"expected a source with an interval after the transient"):
        made([]).plot()
    with pytest.raises(ValueError, match=r"for the Lyapunov exponent; expected a trajectory"):
        plot(made([1.0]), "signals")
