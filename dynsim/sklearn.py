"""scikit-learn: a network of particles as a classifier, for pipelines, searches and cross-validation."""

from __future__ import annotations

from copy import deepcopy

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        f"DynClassifier needs scikit-learn 1.6 or later ({error}): pip install 'dynsim[sklearn]'."
    ) from None

from dynsim._check import as_count, describe, refusal
from dynsim.datasets import Dataset
from dynsim.kernels import Kernel
from dynsim.learning import train
from dynsim.models import mlp

__all__ = ["DynClassifier"]

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks  # from 1.9 on
except ImportError:

    class CallbackSupportMixin:
        """Stands in where scikit-learn has no callbacks."""

    def with_callbacks(method):
        """Stands in where scikit-learn has no callbacks."""
        return method


class DynClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """A multilayer perceptron without weights, trained by forces on its neurons' places.

    The network is `dynsim.models.mlp`, the training `dynsim.train(method="forces")`: a tenth of the samples is held out
    and chooses the best epoch. Features should have mean 0 and variance 1 (`StandardScaler`). scikit-learn's callbacks
    (`set_callbacks`, 1.9 or later) are called for every epoch and may end the training.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int
        Neurons of the hidden layers.
    copies : int
        Places per neuron, H.
    dim : int
        Dimension d of the space.
    kernel : str or Kernel
        A profile, of l2 distances softened by 1e-3, or the kernel itself.
    max_iter : int
        Epochs.
    batch_size : int
        Samples of a batch, at least 2; at most as many as there are to train on.
    learning_rate_init : float
        Peak of the one-cycle schedule for the places.
    motion : {"adam", "inertial", "overdamped"}
        Equation of motion of the places.
    random_state : int, RandomState or None
        Of the start, of the samples held out and of their order; an int gives the same network every time.

    Attributes
    ----------
    classes_ : ndarray (k,)
        Labels, sorted.
    model_ : dynsim.models.Model
        The network; `save` writes it to a model file.
    n_features_in_, n_iter_ : int
        Features, and epochs that were trained.
    feature_names_in_ : ndarray of str
        Names of the features, if X had them.
    loss_curve_ : list of float
        Mean training loss of every epoch.
    validation_accuracy_ : float
        Of the best epoch on the samples held out, in percent.

    Raises
    ------
    ValueError, TypeError
        In `fit`, if an argument or the data do not fit. Sample weights are not supported.

    References
    ----------
    Pei & Wang, ICML 2023, PMLR 202:27521.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = make_pipeline(StandardScaler(), DynClassifier(random_state=0)).fit(X, y)
    >>> bool(classifier.score(X, y) > 0.9)
    True
    """

    def __init__(
        self,
        hidden_layer_sizes=(32,),
        *,
        copies=4,
        dim=4,
        kernel="inverse",
        max_iter=100,
        batch_size=32,
        learning_rate_init=0.05,
        motion="adam",
        random_state=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.copies = copies
        self.dim = dim
        self.kernel = kernel
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.motion = motion
        self.random_state = random_state

    @with_callbacks
    def fit(self, X, y):
        """Train a network on X (n, features) and labels y (n,); at least 3 samples. Returns self."""
        X, y = validate_data(self, X, y, ensure_min_samples=3)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        kernel = self.kernel if isinstance(self.kernel, Kernel) else Kernel(self.kernel, softening=1e-3)
        if isinstance(self.hidden_layer_sizes, str) or not np.iterable(self.hidden_layer_sizes):
            got = describe(self.hidden_layer_sizes)
            raise refusal("hidden_layer_sizes", got, "whole numbers, as (32,)", error=TypeError)
        widths = [X.shape[1], *self.hidden_layer_sizes, len(self.classes_)]
        model = mlp(widths, copies=self.copies, dim=self.dim, kernel=kernel, seed=seed)
        epochs = as_count(self.max_iter, "max_iter")
        batch = min(as_count(self.batch_size, "batch_size", minimum=2), len(X) - max(1, len(X) // 10))
        images = _images(X)
        result = train(
            model,
            # Without a test set the accuracy is measured on the samples, and renamed below.
            Dataset(
                "samples",
                images,
                train_labels=labels,
                test_images=images,
                test_labels=labels,
                classes=len(self.classes_),
            ),
            epochs=epochs,
            batch=batch,
            rate=self.learning_rate_init,
            motion=self.motion,
            seed=seed,
            progress=self._epochs(model, X, y, epochs),
        )
        model.results["training_accuracy"] = model.results.pop("test_accuracy")
        self.model_ = model
        self.n_iter_ = result.epochs
        self.loss_curve_ = [entry["train_loss"] for entry in result.metrics]
        self.validation_accuracy_ = result.validation_accuracy
        return self

    def predict_proba(self, X):
        """Probabilities (n, k) of the classes in the order of `classes_`: softmax of the network's scores."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        scores = self.model_.scores(_images(X))
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    def predict(self, X):
        """Most likely labels (n,)."""
        probabilities = self.predict_proba(X)  # refuses first what cannot be predicted
        return self.classes_[probabilities.argmax(axis=1)]

    def _epochs(self, model, X, y, epochs):
        """The progress that calls scikit-learn's callbacks after every epoch, or None where there are no callbacks."""
        if not hasattr(self, "_init_callback_context"):
            return None
        whole = self._init_callback_context(max_subtasks=epochs)
        whole.call_on_fit_task_begin(estimator=self, X=X, y=y)
        running = []

        def state():
            return {"model_": deepcopy(model), "classes_": self.classes_, "n_iter_": len(running)}

        def progress(done, total, epoch, **_):
            if len(running) < epoch:
                task = whole.subcontext(task_name="epoch")
                running.append(task.call_on_fit_task_begin(estimator=self, X=X, y=y))
            if done % (total // epochs):
                return False
            return running[-1].call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=state)

        return progress


def _images(X):
    """Samples (n, features) as the images (n, 1, 1, features) that models take."""
    return np.asarray(X, np.float32)[:, None, None, :]
