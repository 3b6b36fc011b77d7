"""`dynsim plot`."""

import pytest
from click.testing import CliRunner

from dynsim.cli.plot import command
from dynsim.errors import DataError
from dynsim.plots import KINDS


def invoke(*arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_the_help_names_every_kind():
    text = invoke("--help").output
    assert all(f"  {kind} " in text and shows in " ".join(text.split()) for kind, shows in KINDS.items())


@pytest.mark.parametrize(
    "options",
    [
        ("trajectories", "--neurons", "0,2", "--dim", "2", "--title", "Two paths"),
        ("signals", "--signal", "E", "--component", "0"),
        ("distances", "--copy", "0", "--size", "600x400"),
        ("phase", "--quantity", "R"),
        ("observables", "--names", "loss", "--against", "step"),
    ],
)
def test_figures(make_file, tmp_path, options):
    output = tmp_path / "figure.svg"
    result = invoke(make_file(observables=["loss", "accuracy"]), "-o", output, "--kind", *options)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{output}\n" and output.stat().st_size > 5000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--kind", "signals", "--dim", "2"), "--dim: got it with --kind signals"),
        (("--kind", "signals", "--neurons", "a"), "expected numbers and ranges such as 0,3,25-29"),
        (("--kind", "signals", "--size", "9"), "such as 1200x800"),
        (("--kind", "films"), "films"),
        (("--neurons", "5-3"), "expected numbers and ranges such as 0,3,25-29"),
    ],
)
def test_wrong_use(make_file, tmp_path, options, message):
    result = invoke(make_file(), "-o", tmp_path / "figure.png", *options)
    assert result.exit_code == 2 and message in result.stderr and result.stdout == ""


def test_errors_are_left_to_the_root(make_file, tmp_path):
    (tmp_path / "a.txt").write_text("no HDF5 here")
    wrong = invoke(tmp_path / "a.txt", "--kind", "signals", "-o", tmp_path / "figure.png")
    assert isinstance(wrong.exception, DataError)
    training = invoke(make_file(signals=None), "--kind", "signals", "-o", tmp_path / "figure.png")
    assert "choose one of" in str(training.exception) and not (tmp_path / "figure.png").exists()
