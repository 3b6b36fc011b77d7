"""Families of networks at equal numbers, end to end on the embedded digits."""

import json
import tomllib

import numpy as np
import pytest
from click.testing import CliRunner
from families_of_digits import RECIPE, family, given

from dynsim import datasets, experiments, learning, models
from dynsim.cli.experiment import command
from dynsim.errors import DataError
from dynsim.experiments._images_of_search import search_data, without_test
from dynsim.experiments.frontier import _frontier_report, widest
from dynsim.experiments.frontier._frontier_cells import envelope, moments, within

# Trainings are too short to learn much, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:training")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frontier")
    recipe = experiments.load(given())
    return recipe, folder, experiments.run(recipe, folder)


def test_every_trial_and_training_runs_within_its_budget(finished):
    recipe, _, results = finished
    assert len(results) == 2 * 3 * (2 + 2) and None not in results.values()
    kinds = [task.kind for task in recipe.tasks()]
    assert kinds == sorted(kinds, reverse=True)  # trials first
    for task in recipe.tasks():
        result = results[task.name]
        assert 0 < result["numbers"] <= task.budget, task.name
        if task.family != "pruned":  # the next width would be too many, unless ranks are full
            choice = task.choice if task.kind == "trial" else task.grid[result["chosen"]]
            assert models.numbers(task.build(choice, result["width"], seed=1)) == result["numbers"]
            assert models.numbers(task.build(choice, result["width"] + 1, seed=1)) > task.budget
        else:  # and all that is allowed is used
            assert result["numbers"] == task.budget


def test_the_setting_is_that_of_the_best_trial(finished):
    recipe, folder, results = finished
    for task in recipe.tasks():
        if task.kind == "final":
            accuracies = [results[trial.name]["accuracy"] for trial in task.trials()]
            assert len(accuracies) == 2 and results[task.name]["chosen"] == int(np.argmax(accuracies))
    task = recipe.tasks()[-1]
    with pytest.raises(DataError, match=r"final-particles-600-seed1: got no result of trial-particles-600-0, "):
        task.run(folder / "elsewhere")


def test_a_final_training_is_that_of_train_with_the_setting(finished):
    recipe, _, results = finished
    task = next(task for task in recipe.tasks() if task.name == "final-particles-600-seed1")
    result = results[task.name]
    setting = task.grid[result["chosen"]]
    model = models.mlp([64, 16, 10], copies=result["width"], seed=1, **setting["options"])
    data = datasets.load("digits")
    trained = learning.train(model, data, epochs=2, batch=64, smoothing=0.05, rate=setting["rate"], seed=1)
    assert trained.test_accuracy == result["accuracy"]
    assert trained.validation_accuracy == result["validation_accuracy"]
    assert set(result["packed"]) == {"3", "8"}
    # Where nothing is trained on, the file's accuracy is that of the network with rounded numbers.
    from dynsim.export import packed_bytes, rounded

    found = learning.accuracy(rounded(model, bits=8), data.test_images, labels=data.test_labels)
    packed = result["packed"]["8"]
    assert (packed["bytes"], packed["accuracy"]) == (packed_bytes(model, bits=8), found)
    # The images that the training held out are those of a search with its seed.
    held_out, whole = search_data(data, 1, 0), result["validation_accuracy"]
    assert learning.accuracy(model, held_out.test_images, labels=held_out.test_labels) == whole
    found = learning.accuracy(rounded(model, bits=8), held_out.test_images, labels=held_out.test_labels)
    assert packed["validation_accuracy"] == found


def test_pruned_weights_stay_pruned(finished):
    _, folder, results = finished
    for budget in (400, 600):
        place = folder / "runs" / f"final-pruned-{budget}-seed0"
        before, after = (models.load_model(place / name) for name in ("full.h5", "model.h5"))
        assert budget < models.numbers(before) <= 3 * budget
        weights = [p for p in after.parameters.values() if p.kind == "weights"]
        assert models.numbers(after) == results[place.name]["numbers"] == budget
        earlier = np.concatenate([p.value.ravel() for p in before.parameters.values() if p.kind == "weights"])
        left = np.concatenate([p.value.ravel() for p in weights]) != 0
        assert np.abs(earlier[left]).min() >= np.abs(earlier[~left]).max()  # the largest, over all layers


def test_the_tables_are_the_stored_numbers(finished):
    recipe, folder, results = finished
    text = recipe.report(results, folder)
    whole = json.loads((folder / "report.json").read_text())
    assert "not run" not in text and "does not fit" not in text and "(1 of 2" not in text
    for cell in whole["cells"]:
        own = [results[f"final-{cell['family']}-{cell['budget']}-seed{seed}"] for seed in (0, 1)]
        accuracies = [result["accuracy"] for result in own]
        assert cell["accuracies"] == accuracies and cell["mean"] == pytest.approx(sum(accuracies) / 2)
        # Of two values the deviation is their difference over the root of 2, the error of the mean half of it.
        assert cell["deviation"] == pytest.approx(abs(accuracies[0] - accuracies[1]) / 2**0.5)
        assert cell["error"] == pytest.approx(abs(accuracies[0] - accuracies[1]) / 2)
        assert f"{cell['mean']:.2f} ± {cell['deviation']:.2f}" in text
        for bits, packed in cell["packed"].items():
            assert packed["accuracies"] == [result["packed"][bits]["accuracy"] for result in own]
            held_out = [result["packed"][bits]["validation_accuracy"] for result in own]
            assert packed["judged"] == pytest.approx(sum(held_out) / 2)
            assert packed["bytes"] == max(result["packed"][bits]["bytes"] for result in own)
    found = [(row["budget"], row["family"], row["other"]) for row in whole["differences"]]
    assert found == [(budget, "particles", other) for budget in (400, 600) for other in ("low-rank", "pruned")]
    for row in whole["differences"]:
        some = {cell["family"]: cell for cell in whole["cells"] if cell["budget"] == row["budget"]}
        other = some[row["other"]]
        assert row["difference"] == pytest.approx(some["particles"]["mean"] - other["mean"])
        assert row["error"] == pytest.approx(np.hypot(some["particles"]["error"], other["error"]))
    assert len(whole["files"]) == 3 * 2 * 2 and len(whole["trials"]) == 3 * 2 * 2
    for trial in whole["trials"]:
        name = f"trial-{trial['family']}-{trial['budget']}-{trial['number']}"
        assert trial["accuracy"] == results[name]["accuracy"] and f"{trial['accuracy']:.2f}" in text
    assert "| of a paper | 500 |  | 95.5 | a paper |" in text
    for name in ("accuracy-numbers.png", "accuracy-bytes.png"):
        assert (folder / name).stat().st_size > 5000


def test_families_can_be_compared_with_one(finished, tmp_path):
    _, _, results = finished
    recipe = experiments.load(given(against="pruned"))
    assert "| 400 | low rank | pruned |" in recipe.report(results, tmp_path)
    found = json.loads((tmp_path / "report.json").read_text())["differences"]
    assert [(row["budget"], row["family"], row["other"]) for row in found] == [
        (budget, family, "pruned") for budget in (400, 600) for family in ("low-rank", "particles")
    ]


def test_what_is_missing_is_said_so(finished, tmp_path):
    recipe, _, results = finished
    some = {name: result for name, result in results.items() if name != "final-low-rank-400-seed1"}
    text = recipe.report(some, tmp_path)
    assert "| 1 of 2 |" in text and "(1 of 2 seeds) |" in text
    some = {name: result for name, result in some.items() if name != "final-low-rank-600-seed1"}
    assert "(1 of 2 seeds), " in recipe.report(some, tmp_path)  # of the limits of bytes
    assert recipe.report({}, tmp_path).count("| not run |") >= 3 * 2


def test_what_is_finished_is_not_repeated_and_the_rest_goes_on(finished, tmp_path):
    recipe, _, results = finished
    seen = []

    def stop(done, total, task=None):
        seen.append(task)
        return done == 3

    with pytest.raises(KeyboardInterrupt):
        experiments.run(recipe, tmp_path, progress=stop)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/result.json")}
    assert len(before) == 3
    name = "trial-low-rank-400-1"
    changed = given(budgets=[400], bits=[], families={"low-rank": tomllib.loads(RECIPE)["families"]["low-rank"]})
    again = experiments.run(experiments.load(changed), tmp_path)
    assert again[name] == experiments.load(changed).tasks()[1].result(tmp_path)
    assert again[name]["accuracy"] == results[name]["accuracy"]
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert again["final-low-rank-400-seed0"]["accuracy"] == results["final-low-rank-400-seed0"]["accuracy"]


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A training of 2 epochs, pruning, 2 epochs and 2 with few bits; 20 batches each."""
    folder = tmp_path_factory.mktemp("long")
    changes = {"training": {"epochs": 4, "batch": 64}, "retrain_bits": {"epochs": 2, "share": 0.1}}
    families = {"pruned": tomllib.loads(RECIPE)["families"]["pruned"]}
    recipe = experiments.load(given(budgets=[400], seeds=[0], bits=[3], families=families, **changes))
    return recipe, folder, experiments.run(recipe, folder)


@pytest.mark.parametrize("batches", [30, 70, 110])  # of 40 before pruning, 40 after it and 40 with few bits
def test_an_interrupted_training_goes_on_bit_for_bit(long, tmp_path, batches):
    recipe, folder, results = long
    for trial in folder.glob("runs/trial-*"):
        place = tmp_path / "runs" / trial.name
        place.mkdir(parents=True)
        (place / "result.json").write_bytes((trial / "result.json").read_bytes())
    task, calls = recipe.tasks()[-1], []

    def stop(*_, **__):
        calls.append(1)
        if len(calls) == batches:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        task.run(tmp_path, progress=stop)
    assert task.result(tmp_path) is None
    result, before = task.run(tmp_path, progress=stop), results[task.name]
    # What an epoch had done before the interruption is repeated, and no more.
    assert len(calls) == 120 + 10
    for key in ("accuracy", "numbers", "packed", "chosen"):
        assert result[key] == before[key]


def test_a_training_that_is_stopped_has_no_result(long, tmp_path):
    recipe, folder, results = long
    for trial in folder.glob("runs/trial-*"):
        (tmp_path / "runs" / trial.name).mkdir(parents=True)
        (tmp_path / "runs" / trial.name / "result.json").write_bytes((trial / "result.json").read_bytes())
    task = recipe.tasks()[-1]

    def enough(*_, **__):
        return True  # after an epoch

    # The second call ends the first part and begins the next; so does the third.
    assert [task.run(tmp_path, progress=enough) for _ in range(3)] == [None] * 3
    assert task.result(tmp_path) is None
    assert task.run(tmp_path)["accuracy"] == results[task.name]["accuracy"]
    trial = recipe.tasks()[0]
    assert (
        trial.run(tmp_path / "other", progress=enough)["accuracy"] == results[trial.name]["accuracy"]
    )  # one epoch each


def test_two_at_once_give_the_same(finished, tmp_path):
    _, _, results = finished
    families = tomllib.loads(RECIPE)["families"]
    changed = experiments.load(given(budgets=[400], bits=[], families={"particles": families["particles"]}))
    found = experiments.run(changed, tmp_path, processes=2)
    for name, result in found.items():
        assert result["accuracy"] == results[name]["accuracy"]


class Unreadable:
    """The digits, without test images."""

    def __init__(self, data):
        self.data = data

    def __getattr__(self, name):
        if name.startswith("test_"):
            raise AssertionError("the test images were read")
        return getattr(self.data, name)


def test_trials_do_not_read_the_test_images(finished, tmp_path, monkeypatch):
    recipe, _, results = finished
    data = Unreadable(datasets.load("digits"))
    monkeypatch.setattr(datasets, "load", lambda *_: data)
    for name in ("trial-particles-400-0", "trial-pruned-600-1"):
        task = next(task for task in recipe.tasks() if task.name == name)
        assert task.run(tmp_path)["accuracy"] == results[name]["accuracy"]
    for trial in recipe.tasks()[:2]:
        trial.run(tmp_path)
    with pytest.raises(AssertionError, match="the test images were read"):
        next(task for task in recipe.tasks() if task.kind == "final").run(tmp_path)


def test_a_recipe_can_be_judged_on_held_out_images(finished, tmp_path, monkeypatch):
    families = tomllib.loads(RECIPE)["families"]
    families = {name: {**families[name], "grid": families[name]["grid"][:1]} for name in ("pruned", "particles")}
    recipe = experiments.load(given(judge="held-out", budgets=[400], seeds=[0], bits=[8], families=families))
    assert [task.kind for task in recipe.tasks()] == ["final"] * 2  # one setting each: nothing to try
    data = datasets.load("digits")
    expected = search_data(data, 100, 320)
    monkeypatch.setattr(datasets, "load", lambda *_: Unreadable(data))
    results = experiments.run(recipe, tmp_path)
    result = results["final-particles-400-seed0"]
    model = models.load_model(tmp_path / "runs/final-particles-400-seed0/model.h5")
    found = learning.accuracy(model, expected.test_images, labels=expected.test_labels)
    assert result["accuracy"] == found and result["chosen"] == 0
    text = recipe.report(results, tmp_path)
    assert "the test images were not read" in text and "Held-out accuracy in percent" in text
    assert "Search" not in text and "trials" not in text and "est accuracy" not in text
    fewest = experiments.load(given(judge="held-out", budgets=[40], seeds=[0], bits=[8], families=families))
    results = experiments.run(fewest, tmp_path / "less")
    assert [result["numbers"] for result in results.values()] == [None] * 2


def test_what_goes_on_from_another_network_begins_anew(tmp_path):
    """The checkpoint of a training with few bits is not that of other weights, though its options are the same."""
    families = {"particles": {**tomllib.loads(RECIPE)["families"]["particles"], "grid": [{"rate": 0.1}]}}
    families["particles"]["options"]["dim"] = 2
    few = {"budgets": [400], "seeds": [1], "bits": [3], "families": families}
    for epochs, folder in ((1, "both"), (6, "both"), (6, "one")):
        options = given(training={"epochs": epochs, "batch": 64}, **few)
        del options["search"]  # of which there is none
        results = experiments.run(experiments.load(options), tmp_path / folder)
        if folder == "both":
            both = results["final-particles-400-seed1"]["packed"]
    assert results["final-particles-400-seed1"]["packed"] == both


def test_families_can_learn_from_a_large_network(tmp_path):
    families = tomllib.loads(RECIPE)["families"]
    families["particles"]["options"]["dim"] = 2
    families["particles"]["grid"] = [{"rate": 0.1}, {"rate": 0.1, "distillation": {"share": 1.0, "temperature": 2.0}}]
    teacher = {"options": {"widths": [64, 32, 10], "weights": True}, "training": {"rate": 0.2, "epochs": 3}}
    few = {"budgets": [400], "seeds": [1], "bits": [3]}
    recipe = experiments.load(given(teacher=teacher, families=families, **few))
    assert [task.name for task in recipe.tasks() if task.kind == "teacher"] == ["teacher-search", "teacher-all"]
    assert all(task.estimate(datasets.load("digits"))["seconds"] > 0 for task in recipe.tasks())
    results = experiments.run(recipe, tmp_path)
    assert results["teacher-all"]["numbers"] == 64 * 32 + 2 * 32 + 32 * 10 + 10
    # A trial with it is a training with that network on the images of the search.
    data = search_data(datasets.load("digits"), 100, 320)
    large = models.load_model(tmp_path / "runs/teacher-search/model.h5")
    assert large.results["data"] == "digits" and len(data.train_images) == 320
    model = models.mlp([64, 16, 10], copies=results["trial-particles-400-1"]["width"], dim=2, seed=100)
    options = {"epochs": 2, "batch": 64, "smoothing": 0.05, "rate": 0.1, "seed": 100}
    trained = learning.train(model, data, distillation=learning.Distillation(large, 1.0, 2.0), **options)
    assert trained.test_accuracy == results["trial-particles-400-1"]["accuracy"]
    # Trials without are those of a recipe without a large network, and it is part of what a result depends on.
    plain = experiments.load(given(families={"pruned": families["pruned"]}, **few))
    assert {task.name for task in plain.tasks() if task.result(tmp_path) is None} == set()
    other = experiments.load(given(teacher={**teacher, "training": {"rate": 0.3}}, families=families, **few))
    missing = {task.name for task in other.tasks() if task.result(tmp_path) is None}
    assert missing == {"teacher-search", "teacher-all", "trial-particles-400-1", "final-particles-400-seed1"}
    everywhere = given(teacher=teacher, training={"epochs": 2, "batch": 64, "distillation": {"share": 0.5}}, **few)
    tasks = experiments.load({**everywhere, "judge": "held-out"}).tasks()
    assert [task.name for task in tasks if task.kind == "teacher"] == ["teacher-search"]
    pruned = next(task for task in tasks if task.name == "trial-pruned-400-0")
    assert "distillation" not in tasks[0].training
    with pytest.raises(DataError, match="teacher-search: got no result; expected a trained network; run it first"):
        pruned.run(tmp_path / "more")
    tasks[0].run(tmp_path / "more")
    assert pruned.run(tmp_path / "more")["numbers"] == 400
    text = recipe.report(results, tmp_path)
    assert "distillation share 1.0 temperature 2.0" in text
    assert f"a network of {results['teacher-all']['numbers']:,} numbers" in text


def test_images_of_a_search_are_training_images_apart():
    data = datasets.load("digits")
    found, again = search_data(data, 7, 0), search_data(data, 7, 0)
    n = len(data.train_images)
    assert len(found.test_images) == n // 10 and len(found.train_images) == n - n // 10
    together = np.concatenate([found.train_images, found.test_images]).reshape(n, -1)
    assert np.array_equal(np.sort(together, axis=0), np.sort(data.train_images.reshape(n, -1), axis=0))
    assert np.array_equal(found.test_images, again.test_images)
    fewer = search_data(data, 7, 100)
    assert len(fewer.train_images) == 100 and np.array_equal(fewer.test_labels, found.test_labels)
    with pytest.raises(ValueError, match=rf"search\.images: got 5000; expected at most {n - n // 10}, or 0"):
        search_data(data, 7, 5000)
    assert np.array_equal(without_test(data).test_images, data.train_images[:1])


def test_the_widest_network():
    tried = []

    def build(width):
        tried.append(width)
        return models.mlp([4, width, 2], weights=True)  # 8 width + 2 numbers

    for budget in (10, 17, 18, 100, 801, 802, 803):
        found = widest(build, budget)
        assert found == (budget - 2) // 8
        assert max(tried) <= 2 * found and len(tried) <= 2 * np.log2(found) + 4  # no network is built that is far wider
        tried.clear()
    assert widest(build, 9) is None and widest(build, 0) is None
    # The rank ends at that of the weights, and numbers no longer grow.
    assert widest(lambda rank: models.mlp([4, 3, 2], weights=True, rank=rank), 50) == 3


def test_what_does_not_fit_is_named_and_not_chosen(tmp_path):
    # One copy of 90 places, 2 lambdas, 2 x 16 of the norm, 10 biases: 134 numbers in one dimension, 314 in three.
    grid = {"grid": [{"rate": 0.1, "options": {"dim": dim}} for dim in (3, 1)]}
    recipe = experiments.load(given(budgets=[140], seeds=[0], bits=[], **family("particles", **grid)))
    results = experiments.run(recipe, tmp_path)
    assert results["trial-particles-140-0"]["accuracy"] is None
    assert results["final-particles-140-seed0"]["chosen"] == 1
    assert results["final-particles-140-seed0"]["numbers"] == 134
    assert results["final-pruned-140-seed0"]["numbers"] == 140
    assert results["final-low-rank-140-seed0"]["numbers"] is None  # one rank more than all: 148
    text = recipe.report(results, tmp_path)
    assert "| 140 | low rank | | does not fit | | | |" in text and text.count("does not fit") == 1 + 2 + 1
    recipe = experiments.load(given(budgets=[40], seeds=[0]))
    results = experiments.run(recipe, tmp_path / "less")
    assert [result["numbers"] for result in results.values()] == [None] * 9
    assert "does not fit" in recipe.report(results, tmp_path / "less")
    assert not list((tmp_path / "less").glob("*.png"))


def test_a_setting_that_diverges_is_named_and_not_chosen(tmp_path):
    families = tomllib.loads(RECIPE)["families"]
    options = {"widths": [64, 16, 10], "weights": True, "norm": False}
    chosen = {"plain": {"width": "rank", "options": options, "grid": [{"rate": 1e30}, {"rate": 0.05}]}}
    recipe = experiments.load(given(budgets=[700], seeds=[0], bits=[], families={**families, **chosen}))
    for _ in range(2):  # a second time from what is stored
        results = experiments.run(recipe, tmp_path)
        assert results["trial-plain-700-0"]["accuracy"] is None
        assert "lower the rate" in results["trial-plain-700-0"]["diverged"]
        assert results["final-plain-700-seed0"]["chosen"] == 1
    text = recipe.report(results, tmp_path)
    assert "| plain | rate 1e+30 | diverges |" in text
    assert "With 700 numbers 1 of the 2 settings of plain came to a result." in text


def test_errors_of_zero_are_drawn(finished, tmp_path, monkeypatch):
    recipe, _, results = finished
    figures = []
    monkeypatch.setattr(_frontier_report, "save", lambda figure, path: figures.append(figure))
    for accuracy, scale in ((99.0, "log"), (100.0, "linear")):  # an axis of logarithms has no place for 0
        name = "final-particles-600-seed0"
        recipe.report({name: {**results[name], "accuracy": accuracy, "packed": {}}}, tmp_path)
        assert figures[-1].axes[0].get_yscale() == scale


def test_envelopes_and_limits():
    pairs = ((9, 3.0), (5, 1.0), (7, 0.5), (12, 2.0))
    files = [{"family": "a", "bytes": size, "judged": judged, "mean": 4 - judged} for size, judged in pairs]
    assert [file["bytes"] for file in envelope(files)] == [5, 9]
    assert within(files, "a", 8)["bytes"] == 5 and within(files, "a", 100)["bytes"] == 9
    assert within(files, "a", 4) is None and within(files, "b", 100) is None
    assert moments([1.0])["deviation"] is None and moments([1.0])["error"] is None


def test_the_command_lists_estimates_and_runs(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE)
    options = ["run", str(path), "-o", str(tmp_path / "out")]
    shown = CliRunner().invoke(command, [*options, "--dry-run"], catch_exceptions=False).stdout
    assert "low rank; pruned; particles" in shown and "24 trainings, about" in shown
    assert not (tmp_path / "out").exists()
    costs = json.loads(CliRunner().invoke(command, [*options, "--dry-run", "--json"]).stdout)
    assert len(costs["trainings"]) == 24 and all(row["seconds"] > 0 for row in costs["trainings"])
    assert costs["training"]["trial"]["images"] == 320
    short = RECIPE.replace("[400, 600]", "[400]").replace("[3, 8]", "[]").replace("[0, 1]", "[0]")
    path.write_text(short)
    ran = CliRunner().invoke(command, [*options, "--processes", "2"], catch_exceptions=False)
    assert ran.exit_code == 0 and "## Equal numbers" in ran.stdout and "not run" not in ran.stdout
    assert "Equal bytes" not in ran.stdout
