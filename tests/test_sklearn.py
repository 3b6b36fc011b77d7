"""The classifier keeps scikit-learn's contract, all of it."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from dynsim import load_model
from dynsim.sklearn import DynClassifier

SMALL = {"hidden_layer_sizes": (8,), "copies": 2, "dim": 2, "max_iter": 10, "batch_size": 16, "random_state": 0}


@parametrize_with_checks([DynClassifier(**SMALL)])
def test_all_of_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def test_it_works_in_pipelines_searches_and_cross_validation(iris):
    # Three species of 50, one apart from the others: who sees only that is right two times in three.
    default = make_pipeline(StandardScaler(), DynClassifier(random_state=0))
    assert cross_val_score(default, *iris, cv=3).mean() > 2 / 3
    classifier = make_pipeline(StandardScaler(), DynClassifier(**SMALL))
    search = GridSearchCV(classifier, {"dynclassifier__copies": [1, 3]}, cv=2).fit(*iris)
    assert search.best_estimator_[-1].model_.config["copies"] == search.best_params_["dynclassifier__copies"]


def test_random_state_decides_everything(iris):
    first, again, other = (DynClassifier(**{**SMALL, "random_state": seed}).fit(*iris) for seed in (3, 3, 4))
    assert np.array_equal(first.predict_proba(iris[0]), again.predict_proba(iris[0]))
    assert not np.array_equal(first.predict_proba(iris[0]), other.predict_proba(iris[0]))


def test_labels_may_be_words_and_the_network_can_be_saved(iris, tmp_path):
    X, y = StandardScaler().fit_transform(iris[0]), np.array(["red", "green", "blue"])[iris[1]]
    classifier = DynClassifier(**SMALL).fit(X, y)
    assert classifier.classes_.tolist() == ["blue", "green", "red"]
    assert classifier.score(X, y) * 100 == pytest.approx(classifier.model_.results["training_accuracy"])
    classifier.model_.save(tmp_path / "model.h5")
    read = load_model(tmp_path / "model.h5").predict(X.astype(np.float32)[:, None, None])
    assert np.array_equal(classifier.classes_[read], classifier.predict(X))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"hidden_layer_sizes": 8}, "hidden_layer_sizes: got int 8"),
        ({"kernel": "nothing"}, "profile: got 'nothing'"),
        ({"max_iter": 0}, "max_iter: got 0"),
        ({"batch_size": 1}, "batch_size: got 1"),
        ({"learning_rate_init": -1.0}, "rate: got -1"),
    ],
)
def test_wrong_parameters_are_refused_in_fit(iris, changed, words):
    with pytest.raises((ValueError, TypeError), match=words):
        DynClassifier(**{**SMALL, **changed}).fit(*iris)


def test_sample_weights_are_not_pretended(iris):
    with pytest.raises(TypeError, match="sample_weight"):
        DynClassifier(**SMALL).fit(*iris, sample_weight=np.ones(150))


class Listener:
    """A callback that counts epochs, predicts with the network of each, and stops after some."""

    def __init__(self, last):
        self.last, self.begun, self.scores = last, 0, []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.begun += context.task_name == "epoch"

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        if context.task_name != "epoch":
            return False
        self.scores.append(fitted_estimator.score(X, y))
        return len(self.scores) == self.last


def test_callbacks_see_every_epoch_and_may_stop(iris):
    callback = pytest.importorskip("sklearn.callback", reason="this scikit-learn has no callbacks")
    X = StandardScaler().fit_transform(iris[0])
    listener, monitor = Listener(last=4), callback.ScoringMonitor(scoring="accuracy")
    classifier = DynClassifier(**SMALL).set_callbacks(listener, monitor).fit(X, iris[1])
    assert listener.begun == len(listener.scores) == classifier.n_iter_ == 4
    assert max(listener.scores) > 1 / 3
    # What a callback is given does not change while training goes on.
    assert len(set(listener.scores)) > 1
    assert DynClassifier(**SMALL).fit(X, iris[1]).n_iter_ == SMALL["max_iter"]


def test_without_scikit_learn_it_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None\nimport dynsim\ndynsim.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip().splitlines()[-1].startswith("ImportError: DynClassifier needs scikit-learn")
    assert "pip install 'dynsim[sklearn]'" in done.stderr
