"""Figures are saved whole or not at all."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

import dynsim
from dynsim.plots import animate, available, plot, save
from dynsim.plots._figure_style import PALETTE, colours
from dynsim.plots._selection import evenly
from dynsim.trajectory import TrajectoryWriter
from dynsim.trajectory._stored_system import describe_system


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("SVG", b"<?xml")])
def test_formats_by_suffix(tmp_path, suffix, start):
    output = tmp_path / f"figure.{suffix}"
    save(Figure(), output)
    assert output.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [output.name]


@pytest.mark.parametrize("name", ["figure", "figure.jpg", "figure.h5"])
def test_other_suffixes(tmp_path, name):
    with pytest.raises(ValueError, match=r"\.png, \.pdf, \.svg"):
        save(Figure(), tmp_path / name)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="make it before"):
        save(Figure(), tmp_path / "nowhere" / "figure.png")


def test_a_failure_keeps_the_old_file(tmp_path, monkeypatch):
    output = tmp_path / "figure.png"
    output.write_bytes(b"old")

    def fail(*arguments, **options):
        raise OSError("no room")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="no room"):
        save(Figure(), output)
    assert output.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_the_palette_differs_in_lightness_from_white():
    for colour in PALETTE:
        red, green, blue = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
        assert 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.75
    assert len(set(colours(30))) == 30


def test_evenly_keeps_both_ends():
    assert evenly(1000, 7)[[0, -1]].tolist() == [0, 999] and len(evenly(1000, 7)) == 7
    assert evenly(3, 7).tolist() == [0, 1, 2]


NO_MATHEMATICS = r"$\frac{$"


@pytest.mark.filterwarnings("error", "ignore::DeprecationWarning")  # an old Matplotlib with a new pyparsing
def test_names_are_no_mathematics(tmp_path):
    path = tmp_path / "run.h5"
    names = {"group_names": [NO_MATHEMATICS, "_hidden"], "time_label": NO_MATHEMATICS}
    system = dynsim.System(np.zeros((3, 2)), operators=dynsim.Operators(F=-1.0), groups=[0, 1, 1])
    given = {"parameters": names, "provenance": {"system": describe_system(system)}, "observables": ["train_loss"]}
    with TrajectoryWriter(path, neurons=3, dimension=2, signals=1, groups=[0, 1, 1], **given) as writer:
        for k in range(4):
            writer.write(k, 0.1 * k, k * np.eye(3, 2), [k, 1.0, 2.0], [0.0, 1.0, k], train_loss=1.0 + k)
    kinds = available(path)
    assert len(kinds) >= 10
    for kind in kinds:
        for title in (None, NO_MATHEMATICS):
            plot(path, kind, title=title, output=tmp_path / f"{kind}.svg")
        assert NO_MATHEMATICS in (tmp_path / f"{kind}.svg").read_text()
    assert "_hidden" in (tmp_path / "neurons.svg").read_text()
    for title in (None, NO_MATHEMATICS):
        animate(path, tmp_path / "film.gif", title=title, size=(600, 400))


def test_text_stays_text_and_the_same_figure_gives_the_same_file(make_file, tmp_path):
    path, before = make_file(), dict(matplotlib.rcParams)
    contents = []
    for number in range(2):
        output = tmp_path / f"{number}.svg"
        plot(path, "signals", output=output, title="Two signals")
        contents.append(output.read_bytes())
    assert contents[0] == contents[1] and b">Two signals</text>" in contents[0]
    plot(path, "signals", output=tmp_path / "figure.pdf")
    content = (tmp_path / "figure.pdf").read_bytes()
    assert b"/Type42" in content or b"/CIDFontType2" in content
    assert b"/Type3" not in content
    assert dict(matplotlib.rcParams) == before
