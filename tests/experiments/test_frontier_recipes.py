"""Recipes of comparisons of families: what is refused, what those that come along build, and recipes with a base."""

import re
import tomllib
from copy import deepcopy

import numpy as np
import pytest
from families_of_digits import RECIPE, family, given

from dynsim import experiments


def taught(teacher, **distillation):
    return {"teacher": teacher, "training": {"epochs": 2, "distillation": distillation}}


def single(judge):
    """Families with one setting each, and a table of a search."""
    families = tomllib.loads(RECIPE)["families"]
    return {"judge": judge, "families": {name: {**one, "grid": one["grid"][:1]} for name, one in families.items()}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sedes": [1]}, "did you mean 'seeds'"),
        ({"budgets": []}, "budgets: got []; expected at least one"),
        ({"budgets": [400, 400]}, "budgets: got [400, 400]; expected different numbers"),
        ({"bits": [17]}, "bits: got 17; expected 1 to 16"),
        ({"training": {"batch": 64}}, "training: got no epochs"),
        ({"training": {"epochs": 2, "rate": 0.1}}, "training: got unknown key 'rate'"),
        ({"training": {"epochs": 1}}, "training.epochs: got 1; expected 2 or more, as pruned is pruned"),
        ({"search": {"epochs": 1}}, "search.epochs: got 1; expected 2 or more"),
        ({"search": {"image": 3}}, "did you mean 'images'"),
        (single(judge="test"), "search: got a table, and one setting of each family; expected settings to choose from"),
        ({"retrain_bits": {"epochs": 1}}, "retrain_bits: got no share"),
        (
            family("particles", grid=[{}] * 2),
            "families.particles.grid[0]: got no rate; expected one, beside retrain_bits",
        ),
        ({"judge": "val"}, "judge: got 'val'; expected one of test, held-out"),
        ({"families": {}}, "families: got none"),
        ({"model": "compct"}, "families.low-rank.model: got 'compct'"),
        (family("particles", grid=[{"rate": 0.1}]), "grid: got 2 of low-rank, 2 of pruned, 1 of particles; expected"),
        (family("particles", grid=[]), "families.particles.grid: got none"),
        (family("particles", width="copes"), "did you mean 'copies'"),
        (family("particles", options={"copies": 2}), "families.particles.options: got unknown key 'copies'"),
        (family("particles", grid=[{"epochs": 3}] * 2), "families.particles.grid[0]: got unknown key 'epochs'"),
        (family("particles", grid=[{"rate": -1}] * 2), "families.particles.grid[0].rate: got -1"),
        (family("particles", grid=[{"options": {"dm": 2}}] * 2), "did you mean 'dim'"),
        (family("particles", prune_after=0.5), "families.particles.prune_after: got given without prune_from"),
        (family("pruned", prune_after=1.0), "families.pruned.prune_after: got 1.0"),
        (family("pruned", prune_from=0.5), "families.pruned.prune_from: got 0.5"),
        ({"training": {"epochs": 2, "distillation": {}}}, "training.distillation: got no teacher; expected a table"),
        ({"against": "prund"}, "against: got 'prund'"),
        ({"teacher": {}, **family("particles", grid=[{"rate": 1, "distillation": {}}] * 2)}, "got no teacher"),
        ({"teacher": {"options": {}}}, "teacher: got a network from which none learns; expected settings with"),
        (taught({"model": "mpl"}), "did you mean 'mlp'"),
        (taught({"options": {"with": 3}}), "did you mean 'widths'"),
        (taught({"training": {"epochs": 0}}), "teacher.training.epochs: got 0"),
        (taught({"training": {"epochs": 1}}, share=2), "share: got 2; expected a share from 0 to 1"),
        (taught({"training": {"epochs": 1}}, temperature=0), "temperature: got 0"),
        ({"families": {"a b": {"grid": [{}]}}}, "families: got 'a b'"),
        ({"options": {"wdths": [3]}}, "did you mean 'widths'"),
        ({"published": [{"name": "x", "accuracy": 99}]}, "published[0]: got neither numbers nor bytes"),
        ({"published": [{"name": "x", "numbers": 99}]}, "published[0]: got no accuracy"),
    ],
)
def test_wrong_recipes_are_one_sentence(change, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        experiments.load(given(**change))


@pytest.mark.parametrize("name", ["mnist-frontier", "fashion-frontier", "kmnist-frontier", "cifar10-frontier"])
def test_networks_of_the_recipes_that_come_along_take_their_images(name):
    recipe = experiments.load(experiments.find(name))
    shape = (3, 32, 32) if recipe.data == "cifar10" else (1, 28, 28)
    for task in recipe.tasks():
        if task.kind == "trial" and task.budget == 3000:
            model = task.build(task.choice, task.found(task.choice), seed=0)
            assert model.scores(np.zeros((1, *shape), np.float32)).shape == (1, 10)


def test_a_teacher_of_another_model_has_options_of_its_own():
    large = {"model": "lenet5", "options": {"weights": True}}
    networks = taught(large, share=0.5) | {"options": {"norm": False}}
    recipe = experiments.load(given(**networks))
    teacher = recipe.tasks()[0]
    assert teacher.kind == "teacher" and teacher.options == {"weights": True}
    assert teacher.build().config["model"] == "lenet5"
    recipe = experiments.load(
        given(**taught({"options": {"widths": [64, 32, 10]}}, share=0.5), options={"norm": False})
    )
    assert recipe.tasks()[0].options == {"norm": False, "widths": [64, 32, 10]}


def test_a_search_that_nothing_needs_is_refused_where_it_is_written(tmp_path):
    """With held-out images it says which these are, and that of a base may be for other families."""
    assert experiments.load(given(**single(judge="held-out"))).tasks()[0].kind == "final"
    (tmp_path / "base.toml").write_text(RECIPE)
    options = {key: value for key, value in single(judge="test").items() if key != "search"}
    recipe = experiments.load({"kind": "frontier", "base": str(tmp_path / "base.toml"), **options})
    assert {task.kind for task in recipe.tasks()} == {"final"}


def test_tasks_are_plain_and_equal_where_recipes_are():
    one, other = (experiments.load(deepcopy(given())).tasks() for _ in range(2))
    assert one == other and len({task.name for task in one}) == len(one)


def test_a_recipe_with_a_base_is_that_one_with_other_keys(tmp_path):
    base, other = tmp_path / "base.toml", tmp_path / "other.toml"
    base.write_text(RECIPE)
    other.write_text(f'kind = "frontier"\nbase = "{base.as_posix()}"\ntitle = "others"\nbudgets = [500]\n')
    found = experiments.load(other)
    assert found == experiments.load(given(title="others", budgets=[500]))
    for text in (f'kind = "frontier"\nbase = "{other.as_posix()}"\n', 'kind = "frontier"\nbase = "mnist-lenet5"\n'):
        (tmp_path / "wrong.toml").write_text(text)
        with pytest.raises(ValueError, match="expected a recipe of kind frontier without a base"):
            experiments.load(tmp_path / "wrong.toml")
