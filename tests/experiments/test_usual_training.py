"""What `dynsim train` does where nothing is said is what the recipes of the published tables do."""

import json

import pytest

from dynsim.experiments import find, load, usual_options, usual_training

ROWS = [("mnist-lenet5", "lenet5"), ("mnist-mlp", "mlp"), ("mnist-compact", "compact"), ("mnist-vit", "vit")]


def settings(run, capsys, *options):
    """What --dry-run prints, as JSON."""
    assert run("train", *options, "--dry-run", "--json") == 0
    return json.loads(capsys.readouterr().out)["settings"]


@pytest.fixture
def run():
    from dynsim.cli import main

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        return stop.value.code

    return call


@pytest.mark.parametrize(("recipe", "model"), ROWS)
def test_without_options_it_is_the_first_row_of_the_recipe(recipe, model):
    found = load(find(recipe))
    tasks = {task.kind: task for task in found.tasks() if task.seed == 0 and task.row in (None, 0)}
    for kind in {"weights", "forces", "alternating"} & set(found.methods):
        method = "forces" if kind == "weights" else kind
        usual = usual_training(model, method, weights=kind == "weights", images=60_000)
        assert usual == tasks[kind].training
    row = {**found.options, **found.rows[0]["options"]}
    assert usual_options(model) == row


def test_a_fit_is_that_of_its_recipe_with_the_network_it_begins_with():
    found = load(find("mnist-fit"))
    both = {**found.training["all"], **found.training["weights"], **found.training["fit"]}
    assert usual_training("lenet5", "fit", images=60_000) == both
    assert usual_training("lenet5", "fit", weights=True) == usual_training("lenet5", weights=True)


def test_few_images_make_small_batches():
    assert [usual_training("lenet5", images=n)["batch"] for n in (10, 1437, 3000, 5000, 60_000)] == [
        32, 32, 60, 100, 128,
    ]  # fmt: skip
    assert usual_training("lenet5", "fit", images=1000)["fit_images"] == 500
    narrow = usual_training("mlp", widths=False)
    assert narrow == {"batch": 128, "epochs": 15, "smoothing": 0.1}
    # Where a recipe does not alternate, the epochs are those of the ordinary network.
    alternating = usual_training("vit", "alternating")
    assert alternating == usual_training("vit", weights=True) and alternating["rate"] == 0.03
    for wrong in ({"model": "resnet"}, {"model": "vit", "method": "magic"}):
        with pytest.raises(ValueError, match=r"got '(resnet|magic)'; expected one of"):
            usual_training(**wrong)


def test_the_command_takes_it_and_options_come_first(run, capsys):
    found = settings(run, capsys, "lenet5", "--data", "digits")
    assert (found["epochs"], found["batch"], found["rate"], found["smoothing"]) == (20, 32, 0.08, 0.1)
    assert (found["copies_fc"], found["copies_conv"], found["dim"]) == (2, 3, 9)
    found = settings(run, capsys, "lenet5", "--data", "digits", "--epochs", "2", "--rate", "0.5", "--smoothing", "0")
    assert (found["epochs"], found["batch"], found["rate"], found["smoothing"]) == (2, 32, 0.5, 0.0)
    assert settings(run, capsys, "lenet5", "--data", "digits", "--weights")["rate"] == 0.3
    wide = settings(run, capsys, "mlp", "--data", "digits")
    assert (wide["copies"], wide["widths"], wide["sphere"]) == (50, [64, 1000, 1500, 10], True)
    assert wide["rates"] == {"strengths": 0.01, "bias": 1.0, "norm": 1.0}
    own = settings(run, capsys, "mlp", "--data", "digits", "--hidden", "32")
    assert (own["copies"], own["rate"], own["batch"], own.get("sphere", False)) == (4, 0.02, 32, False)
    said = settings(run, capsys, "mlp", "--data", "digits", "--hidden", "1000,1500")
    assert said == wide
    assert settings(run, capsys, "vit", "--data", "digits", "--patch", "4")["rate"] == 0.08


def test_a_model_to_begin_with_has_the_training_of_its_own_size(run, capsys, tmp_path):
    import dynsim

    small = dynsim.models.mlp(widths=(64, 32, 10), copies=4, dim=4)
    small.save(tmp_path / "small.h5")
    found = settings(run, capsys, "mlp", "--data", "digits", "--init", tmp_path / "small.h5")
    assert (found["widths"], found["batch"], found.get("sphere", False)) == ([64, 32, 10], 32, False)


def test_to_go_on_is_to_the_epochs_that_it_was_begun_with(run, tmp_path, capsys):
    options = ("train", "mlp", "--data", "digits", "--hidden", "8", "-o", tmp_path / "out")
    assert run(*options, "--epochs", "2") == 0
    capsys.readouterr()
    assert run(*options, "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 2
