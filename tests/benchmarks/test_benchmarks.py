"""The contestants do the same work; how fast is not a test's business."""

import json
import math
import shutil

import numpy as np
import pytest

from dynsim import benchmarks
from dynsim.benchmarks import (
    _contestants,
    native_loops,
    pair_speed,
    product_speed,
    sharing_quality,
    simulation_growth,
    simulation_speed,
    start_time,
)
from dynsim.cli import main
from dynsim.kernels import _tree_sums


def test_the_command_knows_all():
    assert set(benchmarks.DRAWN) < set(benchmarks.BENCHMARKS)
    for name in benchmarks.BENCHMARKS:
        assert callable(benchmarks._module(name).measure)
    with pytest.raises(ValueError, match="expected one of pairs"):
        benchmarks.measure("speed")


def test_pair_sums_agree(monkeypatch):
    monkeypatch.setattr(pair_speed, "N", 500)
    # Cancellation in |a|^2 - 2 a b + |b|^2 costs the close pairs some digits in float32.
    assert pair_speed.ours(3)["checksum"] == pytest.approx(pair_speed.matrix(3)["checksum"], rel=1e-3)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs cc, a C compiler")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["sums", "forces", "weights"])
def test_loops_in_c_do_the_same(kind, dtype):
    ours = pair_speed.ours(d=3, dtype=dtype, kind=kind, n=512)
    try:
        theirs = native_loops.native(d=3, dtype=dtype, kind=kind, n=512)
    except RuntimeError as error:
        pytest.skip(str(error))
    # Terms of both signs: together they are at most 53 times their sum (forces, of these places), and each errs by
    # about ten roundings.
    assert theirs["checksum"] == pytest.approx(ours["checksum"], rel=53 * 10 * float(np.finfo(dtype).eps))
    # What the compiler's fast mathematics brings must not make the process lose its subnormal numbers.
    assert np.full(3, 1e-310).prod(initial=0.5, where=[True, False, False]) > 0


def test_the_operations_of_a_pair_are_counted():
    found = _contestants.isolated("dynsim.benchmarks.pair_speed", "operations", d=3)
    # 3 differences, a square and 2 multiply-adds, the root with its Newton step, the sum: 11 or more; in the block of
    # the assembly some constants are made as well. Without wide vectors nothing is counted.
    assert found["operations"] == 0 or 11 <= found["operations"] < 16
    assert _contestants.clock_rate() is None or 1e8 < _contestants.clock_rate() < 1e10


def test_first_commands_run(monkeypatch):
    monkeypatch.setattr(start_time, "CASES", {"import": start_time.CASES["import"]})
    (row,) = start_time.measure(1, False)["rows"]
    assert row["case"] == "import" and row["warm"]["seconds"] > 0


def test_products_agree():
    for columns in (1, 7):
        ours, blas = (f(300, 200, 3, columns) for f in (product_speed.ours, product_speed.blas))
        assert ours["norm"] == pytest.approx(blas["norm"], rel=1e-6) and ours["seconds"] > 0


def test_shared_and_own_places_have_as_many_numbers_and_fit():
    # Of more than nine dimensions all are computed by the same loops.
    found = sharing_quality.both(layers=2, sets=2, neurons=24, share=4.0, steps=6)
    for copies in (4, 8):
        lambdas, own, shared = 2 * 4 * copies, found[f"own_{copies}_floats"], found[f"shared_{copies}_floats"]
        assert own - lambdas == shared - lambdas == 2 * 4 * 24 * 24 * 4
        assert 0 < found[f"own_{copies}"] < 1 and 0 < found[f"shared_{copies}"] < 1  # 1 is without any weights


def test_growth_and_overhead_are_measured(monkeypatch):
    for method in ("direct", "sorted"):
        assert simulation_growth.ours(500, method)["seconds"] > 0
    monkeypatch.setattr(_tree_sums, "WORTH", math.inf)  # a tree however few pairs it saves
    found = simulation_growth.ours(3_000, "tree")
    assert found["seconds"] > 0 and found["degree"] and 0 < found["error"] <= simulation_growth.ACCURACY
    for case in simulation_speed.OVERHEAD:
        assert 0 < simulation_speed.overhead(case)["seconds"] < 1
    assert simulation_speed.ours_delay(1e-3)["error"] <= 1e-3
    rows = [{"method": "sorted", "n": n, "seconds": 3e-6 * n**1.5} for n in (10, 100, 1000)]
    assert simulation_growth._slope(rows, "sorted") == pytest.approx(1.5)


def test_a_missing_peer_is_said_so_and_a_failure_is_an_error():
    assert "missing" in _contestants.isolated("no_such_module", "run")
    with pytest.raises(RuntimeError, match="no_such_function"):
        _contestants.isolated("dynsim.benchmarks.simulation_growth", "no_such_function")
    found = _contestants.rounds_of({"peer": ("no_such_module", "run", {})}, 2)
    assert _contestants.ratio(found["peer"], {"seconds": 1.0}) is None


def test_a_whole_run(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(simulation_growth, "SIZES", dict.fromkeys(simulation_growth.SIZES, (100, 200, 400)))
    with pytest.raises(SystemExit) as stop:
        main(["bench", "growth", "--json", "--rounds", "1", "--figure", str(tmp_path / "growth.png")])
    found = json.loads(capsys.readouterr().out)
    assert stop.value.code == 0 and len(found["rows"]) == 9 and found["machine"]["cores"] >= 1
    assert (tmp_path / "growth.png").read_bytes()[:4] == b"\x89PNG"
    for arguments in (["bench", "pairs", "--figure", "a.png"], ["bench", "growth", "--backend", "cupy"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2 and "alone; as dynsim bench" in capsys.readouterr().err


def test_what_holds_a_library_back_is_left_out_and_said(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    assert benchmarks.holding()["OPENBLAS_CORETYPE"] == "Prescott"
    found = _contestants.isolated("os", "getenv", key="OPENBLAS_CORETYPE")
    assert found is None
    machine = _contestants.machine()
    assert machine["left_out"]["OPENBLAS_CORETYPE"] == "Prescott"
    assert all(one["library"] and one["threads"] >= 1 and one["kernel"] != "Prescott" for one in machine["blas"])


def test_every_round_is_reported():
    contestant = ("dynsim.benchmarks.pair_speed", "outcome", {"seconds": 2.0, "y": [1.0]})
    found = _contestants.rounds_of({"ours": contestant}, 3)["ours"]
    assert found["seconds"] == 2.0 and found["rounds"] == [2.0, 2.0, 2.0]


def _report(path, seconds, peer=1.0):
    row = {
        "d": 3,
        "n": 10,
        "ours": {"seconds": seconds},
        "lanes": int(16 / seconds),
        "torch_of_1": {"seconds": peer},
        "matrix": {"missing": "none"},
    }
    steps = {"method": "sorted", "n": 10, "seconds": 0.5}
    lines = [{"benchmark": "pairs", "rows": [row]}, {"benchmark": "growth", "rows": [steps]}]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return str(path)


@pytest.mark.parametrize(("seconds", "peer", "code"), [(1.05, 9.0, 0), (0.5, 1.0, 0), (1.2, 1.0, 1)])
def test_two_reports_are_compared_and_only_ours_decides(tmp_path, capsys, seconds, peer, code):
    files = [_report(tmp_path / "old.json", 1.0), _report(tmp_path / "new.json", seconds, peer)]
    with pytest.raises(SystemExit) as stop:
        main(["bench", "compare", *files, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert stop.value.code == code and found["slower"] == code
    assert {(row["case"], row["contestant"]): row["ratio"] for row in found["rows"]} == {
        ("d 3 n 10", "ours"): seconds, ("d 3 n 10", "torch_of_1"): peer, ("method sorted n 10", "step"): 1.0,
    }  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        main(["bench", "compare", *files, "--most", "1.5"])
    assert stop.value.code == 0 and f"{seconds:.2f}" in capsys.readouterr().out


def test_what_one_report_lacks_is_named(tmp_path, capsys):
    old, new = _report(tmp_path / "old.json", 1.0), _report(tmp_path / "new.json", 1.0)
    lines = (tmp_path / "new.json").read_text().splitlines()
    (tmp_path / "new.json").write_text(lines[0])
    with pytest.raises(SystemExit) as stop:
        main(["bench", "compare", old, new, "--json"])
    shown = capsys.readouterr()
    missing = {"benchmark": "growth", "case": "method sorted n 10", "contestant": "step", "report": "before"}
    assert stop.value.code == 0 and json.loads(shown.out)["in_one_only"] == [missing]
    assert "only in" in shown.err and "method sorted n 10, step" in shown.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["speed"], 2, "is not one of"),
        (["pairs", "--most", "2"], 2, "it without compare"),
        (["compare", "one.json"], 2, "expected two"),
        (["compare", "one.json", "none.json"], 1, "none.json"),
        (["compare", "one.json", "other.json"], 4, "no report of dynsim bench"),
        (["compare", "one.json", "empty.json"], 1, "no case that both files have"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, monkeypatch, capsys, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    _report(tmp_path / "one.json", 1.0)
    (tmp_path / "other.json").write_text('{"rows": 3}')
    (tmp_path / "empty.json").write_text("")
    with pytest.raises(SystemExit) as stop:
        main(["bench", *arguments])
    assert (stop.value.code, said in capsys.readouterr().err) == (code, True)


def test_other_kernels_agree_within_their_errors():
    for profile, metric, d, error in product_speed.OTHERS:
        arguments = (300, 200, d, 1, profile, metric)
        ours, blas = product_speed.ours(*arguments, error), product_speed.blas(*arguments)
        if profile != "inverse":  # where two places are nearly the same, float32 has no seven digits of 1 / r
            assert ours["norm"] == pytest.approx(blas["norm"], rel=max(error or 0, 1e-5))
        # Rounding comes on top, some roundings in float32 for each axis.
        assert ours["stated_error"] <= (error or 0) + 80 * np.finfo(np.float32).eps


def test_products_are_drawn(monkeypatch, tmp_path, capsys):
    def contestant(seconds):
        return {"seconds": seconds, "peak_gib": 0.2, "norm": 1.0}

    rows = [
        {"m": n, "n": n, "d": 3, "columns": columns, "ours": contestant(1e-5 * n), "blas": contestant(1e-7 * n * n)}
        for n in (10, 1000)
        for columns in (1, 256)
    ]
    found = {"benchmark": "product", "machine": {"processor": "one", "cores": 2}, "rows": rows, "break_even": {1: 100}}
    monkeypatch.setattr(benchmarks, "measure", lambda *arguments, **options: found)
    with pytest.raises(SystemExit) as stop:
        main(["bench", "product", "--figure", str(tmp_path / "product.png")])
    assert stop.value.code == 0 and (tmp_path / "product.png").stat().st_size > 10_000
    assert "break-even with 1 vectors: 100" in capsys.readouterr().out
    assert product_speed.break_even(rows, 1) == 100 and product_speed.break_even(rows[:2], 1) is None
