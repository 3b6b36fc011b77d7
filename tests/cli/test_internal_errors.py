"""Configurations, recipes and settings that are beyond all bounds are refused in a sentence that names the key."""

import json
import os

import h5py
import pytest

from dynsim import Kernel, load_model
from dynsim.cli import main
from dynsim.cli._references import used
from dynsim.errors import FileError
from dynsim.experiments import load, read_toml
from dynsim.models import mlp
from dynsim.plots import plot
from dynsim.trajectory import TrajectoryWriter

START = 'groups = [{neurons = 3}]\nrun = {until = 1.0, method = "rk4", dt = 0.5}\n'


def answer(arguments, capsys):
    """Exit code and standard error of a command."""
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, arguments)))
    return stop.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dimension = 100000000000", "groups: a run of 3 neurons"),
        ("signals = 10000000", "operators: matrices of signals = 10,000,000"),
        ("copies = 10000000000", "groups: a run"),
        ("kernel = {length = 1e308}", "kernel length: got 1e"),
        ("kernel = {length = 1e400}", "kernel length: got inf"),
        ("kernel = {length = 1e-300}", "kernel length: got 1e-300; expected 0 or a size"),
        ("kernel = {softening = -1e308}", "kernel softening: got -1e"),
        ("kernel = {scale = 1" + 400 * "0" + "}", "kernel scale: got inf"),
        ("delay = 1" + 400 * "0", "delay: got inf"),
        ("seed = " + "[" * 900 + "]" * 900, "nested hundreds of levels deep"),
        ("strengths = " + "[" * 5000 + "]" * 5000, "nested hundreds of levels deep"),
        ("seed = " + 5000 * "9", "config.toml: got a whole number of thousands of digits"),
        *((f"{key} = 0x{5000 * 'f'}", f"{key}: got a number of 20,000 bits") for key in ("seed", "dimension")),
        (f"strengths = [0x{5000 * 'f'}]", "strengths: got list too large to be shown"),
    ],
)
def test_numbers_beyond_all_bounds_are_refused(tmp_path, capsys, text, words):
    path = tmp_path / "config.toml"
    path.write_text(f"{text}\n{START}")
    code, said = answer(["simulate", path, "--dry-run"], capsys)
    assert code == 1 and words in said and "Internal" not in said


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("groups.0.neurons=70000000000", "groups: a run of 70,000,000,000 neurons"),
        ("groups.0.neurons=1e400", "neurons of group0: got"),
        (f"groups.0.neurons=0x{5000 * 'f'}", "neurons of group0: got a number of 20,000 bits"),
        (f"run.frames=0x{5000 * 'f'}", "run frames: got a number of 20,000 bits"),
        ('groups.0.drive={kind="samples",times=[],values=[]}', "values: got none; expected (K,)"),
        (
            'groups.0.places={kind="uniform",low=-1e308,high=1e308}',
            "group0: got uniform places farther apart than numbers",
        ),
        ('groups.0.places={kind="normal",center=1.7e308,spread=1.7e308}', "group0: got normal places farther"),
        ("run.until=1" + 400 * "0", "run until: got inf"),
        ("groups.0.neurons=700000000", "groups: a run of 700,000,000 neurons"),
        ("signals=100000", "operators: matrices of signals = 100,000"),
        ("dimension=100000", "operators: matrices of signals = 1 and dimension = 100,000"),
    ],
)
def test_settings_beyond_all_bounds_are_refused(tmp_path, capsys, monkeypatch, setting, words):
    told, pages = os.sysconf, 2**34 // os.sysconf("SC_PAGE_SIZE")  # as on a machine of 16 GiB
    monkeypatch.setattr(os, "sysconf", lambda name: pages if name == "SC_PHYS_PAGES" else told(name))
    path = tmp_path / "config.toml"
    path.write_text(START)
    code, said = answer(["simulate", path, "--dry-run", "--set", setting], capsys)
    assert code == 1 and words in said and "Internal" not in said


def test_settings_that_fit_are_not_refused(monkeypatch):
    from dynsim.engine._configuration import _expect_room

    told, pages = os.sysconf, 2**34 // os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(os, "sysconf", lambda name: pages if name == "SC_PHYS_PAGES" else told(name))
    # Half of the machine or a little more: what is counted is not counted twice.
    for neurons, dimension, signals, copies in ((10**7, 5, 1, 3), (25_000, 1, 25_000, 1), (2, 1, 20_000, 1)):
        _expect_room(neurons, dimension, signals, copies)
        with pytest.raises(ValueError, match="use fewer"):
            _expect_room(3 * neurons, 3 * dimension, 3 * signals, copies)


@pytest.mark.parametrize(
    "command",
    [
        ["train", "mlp", "--data", "digits", "--hidden", "1000000000", "--dry-run"],
        ["train", "mlp", "--data", "digits", "--hidden", "100000,100000", "--weights", "-o", "out"],
        ["train", "vit", "--data", "digits", "--patch", "2", "--hidden", "1" + 60 * "0", "--dry-run"],
        ["train", "lenet5", "--data", "digits", "--copies-fc", "1000000000", "--dry-run"],
        ["experiment", "run", "recipe.toml", "--dry-run"],
    ],
)
def test_networks_beyond_all_bounds_are_refused(tmp_path, capsys, monkeypatch, command):
    told, pages = os.sysconf, 2**34 // os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(os, "sysconf", lambda name: pages if name == "SC_PHYS_PAGES" else told(name))
    monkeypatch.chdir(tmp_path)
    recipe = 'data = "digits"\nmodel = "mlp"\nseeds = [0]\nmethods = ["forces"]\ndeltas = []\ndraws = 1\n'
    (tmp_path / "recipe.toml").write_text(f"{recipe}options = {{widths = [64, 1000000000, 10]}}\nrows = [{{}}]\n")
    code, said = answer(command, capsys)
    assert code == 1 and "expected at most 16.0 GiB, the memory of this machine; choose smaller numbers" in said, said


@pytest.mark.parametrize("setting", ["run.dt=1e-320", "run.dt=1e-300", "run.until=1e300", "delay=1e300"])
def test_the_cost_of_a_run_without_end_is_said(tmp_path, capsys, setting):
    path = tmp_path / "config.toml"
    path.write_text(START)
    code, said = answer(["simulate", path, "--dry-run", "--set", setting], capsys)
    assert code in (0, 1) and "Internal" not in said


def test_a_command_without_memory_says_so(monkeypatch, tmp_path, capsys):
    path = tmp_path / "config.toml"
    path.write_text(START)

    def fail(config):
        raise MemoryError("Unable to allocate 8.00 GiB")

    monkeypatch.setattr("dynsim.engine.configure", fail)
    code, said = answer(["simulate", path, "--dry-run"], capsys)
    assert code == 1 and said.startswith("Error: there is not enough memory (Unable to allocate 8.00 GiB)")


SMALL = {"data": "digits", "model": "mlp", "rows": [{"options": {"copies": 2}}]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": 3}, "rows: got int 3"),
        ({"rows": [3]}, r"rows\[0\]: got int 3"),
        ({"seeds": 1}, "seeds: got int 1"),
        ({"methods": "forces"}, "methods: got str 'forces'"),
        ({"methods": [["forces"]]}, "methods: got list"),
        ({"model": "mpl"}, "model: got 'mpl'"),
        ({"model": ["mlp"]}, "model: got list"),
        ({"data": {}}, "data: got dict"),
        ({"deltas": ["small"]}, "deltas: got str 'small'"),
        ({"draws": 0}, "draws: got 0"),
        ({"title": 7}, "title: got int 7"),
        ({"options": []}, "options: got list"),
        ({"options": {"width": 3}}, "did you mean 'widths'"),
        ({"rows": [{"options": {"copy": 3}}]}, "did you mean 'copies'"),
        ({"rows": [{"published": {"forces": "98 %"}}]}, "published.forces: got str '98 %'"),
        ({"training": {"forces": 1}}, "training.forces: got int 1"),
        ({"kind": ["imagenet"]}, "kind: got list"),
    ],
)
def test_recipes_are_checked_in_all_values(change, words):
    with pytest.raises((ValueError, TypeError), match=words):
        load({**SMALL, **change})


def test_deep_lines_are_no_metrics(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"loss": ' + "[" * 20_000 + "]" * 20_000 + "}\n")
    with pytest.raises(ValueError, match="line 1, which is no JSON"):
        plot(path, "learning")
    path = tmp_path / "deep.toml"
    path.write_text("x = " + "{a = " * 900 + "1" + "}" * 900)
    with pytest.raises(ValueError, match="nested hundreds of levels"):
        read_toml(path)


@pytest.mark.parametrize("place", ["config", "results", "configuration", "outcome", "state"])
def test_json_of_many_levels_is_refused(tmp_path, capsys, place):
    """Python reads 900 levels; what is done with them afterwards it does not."""
    deep = '{"a": ' * 450 + "[" * 450 + "]" * 450 + "}" * 450
    run, model = tmp_path / "run.h5", tmp_path / "model.h5"
    if place in ("config", "results"):
        mlp(widths=(4, 2), copies=1, dim=2).save(model)
        with h5py.File(model, "r+") as file:
            file.attrs[place] = deep
            del file.attrs["digest"]
    else:
        config = tmp_path / "config.toml"
        config.write_text(START)
        assert answer(["simulate", config, "-o", run, "--checkpoint", 0], capsys)[0] == 0
        with h5py.File(tmp_path / "run.h5.checkpoint" if place == "state" else run, "r+") as file:
            where = "state" if place == "state" else f"parameters/{place}"
            del file[where]
            file[where] = deep
            if place == "state":
                del file.attrs["digest"]
    path = run if run.exists() else model
    commands = [["info"], ["info", "--json"], ["validate"], ["resume", "--until", 2]] if path == run else [["info"]]
    refused = 0
    for command in commands:
        code, said = answer([command[0], path, *command[1:]], capsys)
        assert "Internal" not in said and "RecursionError" not in said and len(said.splitlines()) <= 1, said
        refused += code != 0
        assert code == 0 or "levels deep" in said or place == "state", said
    assert refused or place == "state"


@pytest.mark.parametrize("length", ["1e308", "1e400", "-1", "1" + "0" * 400, "null", "[]"])
def test_a_kernel_in_a_model_file_is_checked(tmp_path, capsys, length):
    path = tmp_path / "model.h5"
    mlp(widths=(4, 2), copies=1, dim=2, kernel=Kernel("gaussian")).save(path)
    with h5py.File(path, "r+") as file:
        text = file.attrs["config"]
        assert '"length": 1.0' in text
        file.attrs["config"] = text.replace('"length": 1.0', f'"length": {length}')
        del file.attrs["digest"]  # as in a file of 0.1.0, in which nothing else could be wrong
    code, said = answer(["info", path], capsys)
    assert code == 4 and "model.h5 is damaged" in said and "Internal" not in said


@pytest.mark.parametrize("name", ["config", "results"])
def test_a_description_of_another_type_is_damage(tmp_path, capsys, name):
    path = tmp_path / "model.h5"
    mlp(widths=(4, 2), copies=1, dim=2).save(path)
    with h5py.File(path, "r+") as file:
        file.attrs[name] = "[]"
        del file.attrs["digest"]
    for command in ("info", "cite", "validate"):
        code, said = answer([command, path], capsys)
        assert code == 4 and f"model.h5 has an entry {name} that is not a dictionary" in said


@pytest.mark.parametrize("image", ["text", 5, [1, 8], [1, 8, -8], [1, 8, None], [1, 8, 10**9]])
def test_images_in_a_model_file_are_checked(tmp_path, image):
    path, model = tmp_path / "model.h5", mlp(widths=(64, 2), copies=1, dim=2)
    model.results = {"image": image}
    model.save(path)
    with pytest.raises(FileError, match=r"model\.h5 is damaged"):
        load_model(path)


@pytest.mark.parametrize("value", [None, 7, "text", [], ["adam"], {}, {"a": []}])
def test_what_a_file_says_of_itself_may_be_of_any_type(tmp_path, capsys, value):
    names = ("integrator", "motion", "data", "kernel", "model", "delay")
    assert dict(used(dict.fromkeys(names, value))).keys() >= {"dynsim", "pei2023"}
    path, model = tmp_path / "model.h5", mlp(widths=(4, 2), copies=1, dim=2)
    model.results = {"motion": value, "data": value}
    model.save(path)
    assert answer(["cite", path], capsys)[0] == 0
    for number, parameters in enumerate(({"config": value}, {"config": {"run": value, "kernel": value}})):
        path = tmp_path / f"run{number}.h5"
        TrajectoryWriter(path, neurons=2, dimension=2, parameters=parameters).close()
        assert answer(["cite", path], capsys)[0] == 0


@pytest.mark.parametrize("run", [None, 7, [], {"until": "late"}, {"start": 0.0}])
def test_a_run_of_a_broken_configuration_does_not_go_on(tmp_path, capsys, run):
    path, config = tmp_path / "run.h5", tmp_path / "config.toml"
    config.write_text(START)
    assert answer(["simulate", config, "-o", path], capsys)[0] == 0
    with h5py.File(path, "r+") as file:
        stored = json.loads(file["parameters/configuration"].asstr()[()])
        stored["config"]["run"] = run
        del file["parameters/configuration"]
        file["parameters/configuration"] = json.dumps(stored)
    code, said = answer(["resume", path], capsys)
    assert code != 0 and "run.h5" in said and "Internal" not in said
