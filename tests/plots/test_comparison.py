"""Series of points: their places, error bars and the ticks of logarithmic axes."""

import numpy as np
import pytest

from dynsim.plots import compare
from dynsim.plots._figure_style import GREY


def labels(axis):
    axis.get_figure().draw_without_rendering()
    low, high = sorted(axis.get_view_interval())
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    return [tick.label1.get_text() for tick in ticks if low <= tick.get_loc() <= high]


@pytest.mark.parametrize("both", [False, True])
def test_ticks_of_few_decades_are_plain_numbers(both):
    points = {"a": [(1500, 6.0, 0.1), (15000, 0.9, 0.05)]}
    axes = compare(points, x="numbers", y="error, %", logarithmic=True, logarithmic_y=both).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log" if both else "linear")
    assert set(labels(axes.xaxis)) == {"2,000", "3,000", "5,000", "10,000"}
    if both:
        assert set(labels(axes.yaxis)) == {"1", "2", "3", "5"}


def test_an_axis_of_many_decades_has_powers_of_ten():
    axes = compare({"a": [(1, 1.0), (1e6, 2.0)]}, x="x", y="y", logarithmic=True).axes[0]
    assert all("10^" in text or not text for text in labels(axes.xaxis))


def test_what_is_beside_is_grey_and_not_connected():
    points = {"a": [(1, 5.0), (2, 4.0)], "b": [(1, 4.0)]}
    figure = compare(points, x="x", y="y", lines=True, beside={"published": [(3, 1.0), (4, 2.0)]})
    lines = [line for line in figure.axes[0].get_lines() if len(line.get_xdata())]
    assert [line.get_linestyle() for line in lines] == ["-", "-", "None"]
    assert lines[2].get_color() == GREY not in (lines[0].get_color(), lines[1].get_color())
    assert len({line.get_marker() for line in lines}) == 3
    with pytest.raises(TypeError, match="beside"):
        compare(points, x="x", y="y", beside=[1])


def test_a_long_title_is_set_in_lines_beside_the_legend():
    figure = compare({"ours": [(1, 2.0)]}, x="x", y="y", title="words " * 20)
    assert figure.axes[0].get_title().count("\n") >= 1


def test_error_bars_are_the_deviations():
    axes = compare({"a": [(1, 5.0, 0.5), (2, 4.0, 0.25)]}, x="x", y="y", logarithmic_y=True, lines=True).axes[0]
    bars = axes.containers[0].lines[2][0].get_segments()
    assert np.allclose([np.ptp(bar[:, 1]) for bar in bars], [1.0, 0.5])
