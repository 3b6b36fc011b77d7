"""Recipes, tasks that are finished once, tables; and the same on a cluster that loses a worker."""

import json
import os
import threading
import time

import pytest
from click.testing import CliRunner

from dynsim import datasets, experiments, learning, models
from dynsim.cli.experiment import command
from dynsim.errors import DataError
from dynsim.experiments import find, load, names, report, run

INTERVAL = 0.05  # seconds between two looks
RECIPE = {
    "title": "digits",
    "data": "digits",
    "model": "mlp",
    "seeds": [0, 1],
    "methods": ["forces", "weights", "fit", "alternating", "low-rank", "pruned"],
    "deltas": [0.01],
    "draws": 2,
    "options": {"widths": [64, 16, 10], "dim": 3},
    "training": {
        "all": {"epochs": 3, "batch": 64, "rate": 0.08},
        "fit": {"fit_steps": 50},
        "alternating": {"fit_steps": 10, "shift": 0.5},
    },
    "rows": [
        {"options": {"copies": 2}, "published": {"memory": 540, "alternating": 99.0, "deviation": 0.1}},
        {"options": {"copies": 3}},
    ],
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    return folder, run(load(RECIPE), folder)


def test_every_training_is_in_the_table(finished):
    folder, results = finished
    recipe = load(RECIPE)
    assert len(results) == 2 + 2 * 2 * 5 and None not in results.values()
    text = report(recipe, results, folder=folder)
    assert text.count("not run") == 0 and "[99.00 ± 0.10]" in text and "copies 3" in text
    cells = json.loads((folder / "report.json").read_text())["cells"]
    forces = next(cell for cell in cells if cell["method"] == "forces" and cell["row"] == 0)
    expected = [results[f"forces-row0-seed{seed}"]["test_accuracy"] for seed in (0, 1)]
    assert forces["accuracies"] == expected and forces["mean"] == pytest.approx(sum(expected) / 2)
    for name in (
        "accuracy-memory.png",
        "accuracy-bytes.png",
        "training.png",
        "noise.png",
        "neurons-1.png",
        "neurons-2.png",
    ):
        assert (folder / name).stat().st_size > 5000


@pytest.mark.parametrize("name", ["report.md", "report.json", "training.png", "accuracy-bytes.png", "neurons-1.png"])
def test_a_file_that_is_no_experiments_is_not_replaced(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=rf"{name} exists and is no experiment's .*; choose another folder"):
        run(load(RECIPE), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_experiment_without_its_data_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="kmnist"):
        run(load({**RECIPE, "data": "kmnist"}), tmp_path / "out", data_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_seeds_that_are_missing_are_said_so(finished, tmp_path):
    _, results = finished
    found = {name: result for name, result in results.items() if name != "forces-row1-seed1"}
    text = report(load(RECIPE), found, folder=tmp_path)
    assert text.count("(1 of 2 seeds)") == 1


def test_baselines_have_no_more_numbers(finished):
    _, results = finished
    for row in (0, 1):
        ours = results[f"forces-row{row}-seed0"]["parameters"]["stored_floats"]
        for kind in ("low-rank", "pruned"):
            theirs = results[f"{kind}-row{row}-seed0"]["parameters"]["stored_floats"]
            assert 0.75 * ours <= theirs <= ours + 1  # a rank more would be too many; ties in size count one


def test_what_is_finished_is_not_repeated(finished):
    folder, results = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("model.h5")}
    assert run(load(RECIPE), folder) == results
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("model.h5")}
    # Another number of epochs is another task.
    changed = {**RECIPE, "training": {"all": {"epochs": 2, "batch": 64}}, "methods": ["weights"]}
    assert load(changed).tasks()[0].result(folder) is None


def test_an_interrupted_task_goes_on_bit_for_bit(finished, tmp_path):
    folder, results = finished
    task = next(task for task in load(RECIPE).tasks() if task.name == "alternating-row0-seed1")

    def stop(done, total, epoch, **_):
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        task.run(tmp_path, progress=stop)
    assert task.result(tmp_path) is None
    result = task.run(tmp_path)
    assert result["test_accuracy"] == results[task.name]["test_accuracy"]
    one, other = (models.load_model(place / "runs" / task.name / "model.h5") for place in (folder, tmp_path))
    assert all((one.arrays[name] == other.arrays[name]).all() for name in one.arrays)


def test_networks_can_learn_from_a_larger_one(tmp_path):
    """Every training whose method learns from it does, from the one that the same run left."""
    teacher = {"options": {"widths": [64, 32, 10], "weights": True}, "training": {"rate": 0.2, "epochs": 4}}
    training = {"all": {**RECIPE["training"]["all"], "distillation": {"share": 0.8, "temperature": 2.0}}}
    methods = ["weights", "forces", "pruned"]
    given = {**RECIPE, "seeds": [1], "methods": methods, "training": training, "teacher": teacher, "deltas": []}
    recipe = load(given)
    assert [task.kind for task in recipe.tasks()] == ["teacher", "weights", "forces", "forces", "pruned", "pruned"]
    assert all(task.estimate(datasets.load("digits"))["seconds"] > 0 for task in recipe.tasks())
    assert recipe.settings["teacher"] == {"epochs": 4, "batch": 64, "rate": 0.2}
    with pytest.raises(DataError, match="teacher-all: got no result; expected a trained network; run it first"):
        recipe.tasks()[1].run(tmp_path / "other")
    results = run(recipe, tmp_path)
    large = models.load_model(tmp_path / "runs/teacher-all/model.h5")
    model = models.mlp([64, 16, 10], dim=3, copies=2, seed=1)
    options = {"epochs": 3, "batch": 64, "rate": 0.08, "seed": 1}
    trained = learning.train(
        model, datasets.load("digits"), distillation=learning.Distillation(large, 0.8, 2), **options
    )
    assert results["forces-row0-seed1"]["metrics"][-1]["train_loss"] == trained.metrics[-1]["train_loss"]
    text = report(recipe, results, folder=tmp_path)
    numbers = f"{32 * 76 + 10:,} numbers (mlp)"
    said = f"Trainings of the methods weights, forces, pruned learned the answers of a network of {numbers} besides"
    assert said in text and "not run" not in text
    # It is part of what a result depends on.
    other = load({**given, "teacher": {**teacher, "training": {"rate": 0.3}}})
    assert not any(task.result(tmp_path) for task in other.tasks())
    assert all(task.result(tmp_path) for task in load(given).tasks())
    # What begins with the ordinary network depends on how that was trained.
    alone = {**training, "weights": {"rate": 0.05}}
    missing = {task.kind for task in load({**given, "training": alone}).tasks() if not task.result(tmp_path)}
    assert missing == {"weights", "pruned"}


def test_a_network_to_learn_from_of_other_images_is_refused_before_anything_is_there(tmp_path):
    training = {"all": {**RECIPE["training"]["all"], "distillation": {}}}
    given = {**RECIPE, "training": training, "methods": ["weights"], "deltas": []}
    with pytest.raises(ValueError, match=r"takes images of shape \(1, 8, 8\)"):
        run(load({**given, "teacher": {"model": "mlp", "options": {"weights": True}}}), tmp_path / "out")
    with pytest.raises(ValueError, match="a network of 3 classes; expected one of 10"):
        run(load({**given, "teacher": {"options": {"widths": [64, 3], "weights": True}}}), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_result_that_does_not_say_what_it_began_with_is_made_again(finished):
    """Of those without such a beginning a new field makes no other task."""
    folder, _ = finished
    for task in load(RECIPE).tasks():
        path = folder / "runs" / task.name / "result.json"
        stored = json.loads(path.read_text())
        before = path.read_bytes()
        del stored["task"]["reference"]
        path.write_text(json.dumps(stored))
        assert (task.result(folder) is None) == (task.kind in ("fit", "pruned"))
        path.write_bytes(before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sedes": [1]}, "did you mean 'seeds'"),
        ({"methods": ["force"]}, "did you mean 'forces'"),
        ({"training": {"all": {"epoch": 3}}}, "did you mean 'epochs'"),
        ({"training": {"alll": {}}}, "did you mean 'all'"),
        ({"rows": [{"option": {}}]}, "did you mean 'options'"),
        ({"seeds": [-1]}, "seeds: got -1"),
        ({"teacher": {"model": "mlp"}}, "teacher: got a network from which none learns"),
        ({"training": {"forces": {"distillation": {}}}}, "training.forces.distillation: got no teacher"),
        (
            {"training": {"forces": {"distillation": {}}}, "teacher": {"model": "mlp"}, "methods": ["weights"]},
            "teacher: got a network from which none learns",
        ),
        (
            {"training": {"all": {"distillation": {}}}, "teacher": {"model": "mlp"}},
            "got one for method fit; expected none",
        ),
        ({"training": {"forces": {"distillation": {"share": 2}}}, "teacher": {"model": "mlp"}}, "share: got 2"),
        ({"training": {"forces": {"distillation": {}}}, "teacher": {"modle": "mlp"}}, "did you mean 'model'"),
    ],
)
def test_wrong_recipes_are_one_sentence(change, words):
    with pytest.raises(ValueError, match=words):
        load({**RECIPE, **change})
    with pytest.raises(ValueError, match="expected a TOML file or one of"):
        find("no-such-experiment")


def test_one_bad_file_hides_no_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "experiments"
    folder.mkdir()
    (folder / "broken.toml").write_text("= 1\n")
    os.mkfifo(folder / "pipe.toml")
    (folder / "dangling.toml").symlink_to("nowhere")
    (folder / "folder.toml").mkdir()
    (folder / "unknown.toml").write_text('seeds = [0]\ndata = "digits"\nmodel = "mlp"\nfoo = 1\n')
    (folder / "mine.toml").write_text('seeds = [0]\ndata = "digits"\nmodel = "mlp"\nrows = [{}]\n')
    listed = CliRunner().invoke(command, ["list"])
    assert listed.exit_code == 0 and "mine " in listed.stdout and "mnist-lenet5" in listed.stdout
    assert "experiments/unknown.toml: experiment: got unknown key 'foo'" in listed.stderr
    with pytest.warns(UserWarning) as caught:
        assert {"mine", "unknown", "mnist-lenet5"} <= set(names())
    said = " ".join(str(warning.message) for warning in caught)
    assert len(caught) == 4 and all(f"{name}.toml" in said for name in ("broken", "pipe", "dangling", "folder"))
    with pytest.warns(UserWarning), pytest.raises(ValueError, match=r"'mnst'; expected a TOML file or one of .*mine"):
        find("mnst")
    with pytest.raises(DataError, match="is not a regular file; give the path of a TOML file"):
        find(folder / "pipe.toml")
    with pytest.raises(IsADirectoryError, match="is a directory; give the path of a TOML file"):
        find(".")


def test_what_is_no_result_counts_as_not_finished(finished, tmp_path):
    folder, results = finished
    task = load(RECIPE).tasks()[0]
    stored = json.loads((folder / "runs" / task.name / "result.json").read_text())
    path = task.place(tmp_path) / "result.json"
    path.write_text(json.dumps(stored))
    assert task.result(tmp_path) == results[task.name]
    lacking = {key: value for key, value in stored["result"].items() if key != "test_accuracy"}
    wrong = [{**stored, "result": result} for result in ({}, [], 5, None, "x", lacking)]
    for content in (*wrong, {"task": stored["task"]}, [1], 5, None, "x"):
        path.write_text(json.dumps(content))
        assert task.result(tmp_path) is None


def test_the_recipes_that_come_along_are_sound():
    assert "mnist-lenet5" in experiments.names()
    for name in experiments.names():
        recipe = load(find(name))
        assert recipe.tasks()
        if not isinstance(recipe, experiments.Recipe):
            continue  # of a kind of its own, tested there
        for row in recipe.rows:
            counted = models.count(models.BUILDERS[recipe.model](**recipe.options, **row["options"]))
            published = row.get("published", {})
            if recipe.model == "lenet5":
                assert (counted["memory"], counted["disk"]) == (published["memory"], published["disk"])
            elif published:
                assert counted["memory"] <= published["memory"]


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_the_same(finished, tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs Dask: pip install 'dynsim[sweep]'")
    _, results = finished
    recipe = load({**RECIPE, "methods": ["weights", "forces", "fit"]})
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:

        def kill():
            while len(list(tmp_path.glob("runs/*/result.json"))) < 2:
                time.sleep(INTERVAL)
            next(iter(cluster.workers.values())).process.process._process.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        found = run(recipe, tmp_path, scheduler=cluster.scheduler_address)
        killer.join()
    for task in recipe.tasks():
        assert found[task.name]["test_accuracy"] == results[task.name]["test_accuracy"]
