"""Figures are saved whole or not at all."""

import pytest
from matplotlib.figure import Figure

from dynsim.plots import save
from dynsim.plots._figure_style import PALETTE, colours
from dynsim.plots._selection import evenly


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
