"""A configuration as a commented text that is the same configuration again, and a schema that editors check it with."""

import tomllib

import numpy as np
import pytest

import dynsim
from dynsim.cli import main
from dynsim.engine import configuration_schema, configure
from dynsim.engine.presets import PRESETS, preset_config
from dynsim.experiments import configuration_text, read_toml

ODD = {
    "seed": 3,
    "copies": 2,
    "kernel": {"profile": "c / (1 + r**2)", "metric": "l1"},
    "operators": {"A": [[0.5]], "D": [[1e-300], [-0.0], [3.0]], "activation": "gelu"},
    "groups": [
        {"name": 'a "quoted" # name', "neurons": 2, "places": {"kind": "normal", "spread": [1.0, 2.0, 3.0]}},
        {"name": "ünïcode\n\t", "places": np.arange(12.0).reshape(2, 2, 3).tolist(), "drive": 0.25},
        {"name": "c", "neurons": 1, "clamped": {"kind": "samples", "times": [0.0, 1.0], "values": [0.0, 2.0]}},
    ],
    "strengths": {'a "quoted" # name->c': [0.1, -0.1], "c->c": 2},
    "run": {"until": 1.0, "method": "rk4", "dt": 0.25, "every": 2},
}


def ways():
    yield from ((name, preset_config(name)) for name in PRESETS)
    yield "odd", ODD
    yield "few", {"groups": [{"neurons": 2}], "run": {"until": 1}}
    yield "matrix", {"strengths": [[0.5]], "groups": [{"neurons": 2}], "run": {"until": 1.0}}


@pytest.mark.parametrize(("name", "config"), ways())
def test_the_text_is_the_same_configuration(name, config):
    for one in (config, configure(config).config):
        again = tomllib.loads(configuration_text(one))
        tables = {key: {} for key in ("kernel", "operators", "run")}
        assert again == {**tables, **one}
    a, b = configure(config), configure(tomllib.loads(configuration_text(config)))
    assert np.array_equal(a.system.q, b.system.q) and a.config == b.config


def test_every_key_is_there_with_its_meaning_and_examples_are_valid():
    text = configuration_text(preset_config("stable"))
    for keys in dynsim.engine.CONFIGURATION_KEYS.values():
        for key, (_, meaning, _) in keys.items():
            assert f"{key} = " in text and meaning in text
    # The examples in comments are values that are accepted.
    lines = [
        line[2:] for line in text.splitlines() if line.startswith(("# max_step ", "# first_step", "# rtol", "# drive"))
    ]
    assert len(lines) >= 3 and all(tomllib.loads(line) for line in lines)


@pytest.mark.parametrize("value", [1, "text", {"groups": [{"places": object()}]}])
def test_what_is_no_configuration_is_refused(value):
    with pytest.raises(TypeError, match="configuration: got"):
        configuration_text(value)


@pytest.mark.parametrize(("name", "config"), ways())
def test_the_schema_accepts_what_is_right(name, config):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft7Validator.check_schema(configuration_schema())
    jsonschema.validate(config, configuration_schema())
    jsonschema.validate(configure(config).config, configuration_schema())


@pytest.mark.parametrize(
    "change",
    [
        {"dely": 1.0}, {"delay": -1.0}, {"seed": -1}, {"kernel": {"profil": "linear"}}, {"run": {}}, {"groups": []},
        {"run": {"until": 1.0, "method": "rk5"}}, {"groups": [{"neurons": 0}]}, {"operators": {"G": 1.0}},
        {"groups": [{"neurons": 1, "clamped": {"kind": "pulse", "at": 1.0}}]}, {"operators": {"activation": "tan"}},
        {"groups": [{"neurons": 1, "places": {"kind": "normal", "low": 1.0}}]},
    ],
)  # fmt: skip
def test_the_schema_refuses_what_is_wrong(change):
    jsonschema = pytest.importorskip("jsonschema")
    config = {"groups": [{"neurons": 2}], "run": {"until": 1.0}, **change}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(config, configuration_schema())
    with pytest.raises((ValueError, TypeError)):
        configure(config)


def test_a_preset_becomes_ones_own_file(tmp_path, capsys):
    def run(*options):
        with pytest.raises(SystemExit) as stop:
            main([str(option) for option in options])
        return stop.value.code, capsys.readouterr().out

    code, text = run("simulate", "--preset", "pulse", "--set", "run.until=0.5", "--print-config")
    assert code == 0
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    assert read_toml(tmp_path / "mine.toml")["run"]["until"] == 0.5
    assert run("simulate", tmp_path / "mine.toml", "-o", tmp_path / "mine.h5")[0] == 0
    code, schema = run("simulate", "--print-schema")
    assert code == 0 and '"additionalProperties": false' in schema


def test_numbers_of_numpy_are_numbers_and_unknown_keys_are_refused():
    few = {"groups": [{"neurons": 2}], "run": {"until": np.float64(1.5)}}
    assert tomllib.loads(configuration_text(few))["run"] == {"until": 1.5}
    for wrong in ({"dely": 1}, {"kernel": {"profil": "linear"}}, {"groups": [{"neuron": 1}]}):
        with pytest.raises(ValueError, match="unknown key"):
            configuration_text({**few, **wrong})


def test_names_that_differ_in_spaces_only_are_refused_in_strengths():
    groups = [{"name": name, "neurons": 1} for name in ("a b", "ab")]
    config = {"groups": groups, "strengths": {"a b->a b": 5.0}, "run": {"until": 1.0}}
    with pytest.raises(ValueError, match="names of groups that differ in spaces only"):
        configure(config)
    groups[1]["name"] = "c d"
    strengths = configure({**config, "strengths": {"a b -> c d": 5.0}}).system.strengths
    assert strengths[0].tolist() == [[0.0, 5.0], [0.0, 0.0]]
