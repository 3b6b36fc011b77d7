"""What a model takes for what: the confusion matrix, and the images that it misreads."""

from __future__ import annotations

import textwrap

import numpy as np
from scipy.special import softmax

from dynsim._check import as_count, refusal
from dynsim.models import load_data_for

from ._answers import MOST_IMAGES, answers_figure
from ._figure_kinds import figure_kind
from ._figure_style import decorate, evenly, new_figure, note, titled

_MOST_WRITTEN = 26  # classes whose numbers can be read
_MOST_NAMED = 60
_LETTERS = 14


def _answered(model, data, data_dir):
    """The data set, its test images, their labels, and the scores that the model gives them."""
    if data is None:
        raise refusal("data", "none", "a data set whose test images are read, as data='digits' (--data digits)")
    found = load_data_for(model, data, data_dir)
    return found, found.test_images, np.asarray(found.test_labels), model.scores(found.test_images)


def _class_names(found, classes):
    """Names of all classes; those that the model has beyond the data's are numbers."""
    return [*found.class_names, *map(str, range(len(found.class_names), classes))]


@figure_kind("confusion", "which test images a model takes for what", sources=("model",))
def draw_confusion(model, *, data=None, data_dir=None, title=None, size=None):
    """Test images of every class (rows) by the class that the model answers (columns), as shares of the row."""
    found, _, labels, scores = _answered(model, data, data_dir)
    answers = scores.argmax(axis=1)
    classes = max(found.classes, scores.shape[1])
    counts = np.zeros((classes, classes), dtype=int)
    np.add.at(counts, (labels, answers), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = new_figure((1100, 950) if size is None else size)
    axes = figure.add_subplot()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if classes <= _MOST_WRITTEN:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", fontsize=8, color=colour)
    names = _class_names(found, classes)
    some = evenly(classes, _MOST_NAMED)
    texts = [textwrap.shorten(names[k], _LETTERS, placeholder="...") for k in some]
    upright = max(map(len, texts)) > 3
    axes.set_xticks(some, texts, rotation=90 if upright else 0, parse_math=False)
    axes.set_yticks(some, texts, parse_math=False)
    decorate(axes, "answer", "class")
    axes.grid(False)
    figure.colorbar(picture, ax=axes, label="share of the images of a class", shrink=0.85)
    right = int((answers == labels).sum())
    titled(
        axes, title, f"{right:,} of {len(labels):,} test images are read correctly ({100 * right / len(labels):.2f} %)"
    )
    counted = "numbers: how many images" if classes <= _MOST_WRITTEN else ""
    note(figure, *(sentence.rstrip(".") for sentence in found.notes), counted)
    return figure


@figure_kind("misread", "test images that a model misreads, the surest first", sources=("model",))
def draw_misread(model, *, data=None, data_dir=None, count=25, title=None, size=None):
    """The misread test images that the model is surest of, with their class, its answer and how sure it is."""
    if as_count(count, "count") > MOST_IMAGES:
        raise refusal("count", count, f"at most {MOST_IMAGES} images in a figure")
    found, images, labels, scores = _answered(model, data, data_dir)
    sure = softmax(scores, axis=1)
    wrong = np.flatnonzero(scores.argmax(axis=1) != labels)
    if not len(wrong):
        raise refusal("data", f"{found.name}, of which no test image is misread", "one of which some are")
    wrong = wrong[np.argsort(-sure[wrong].max(axis=1), kind="stable")]
    names = _class_names(found, scores.shape[1])
    texts = [
        f"{names[labels[k]]}, read as {names[scores[k].argmax()]} ({100 * sure[k].max():.0f} %)" for k in wrong[:count]
    ]
    heading = f"{len(texts)} of {len(wrong):,} misread images of {len(labels):,}, the surest answers first"
    below = [f"test image {k}" for k in wrong[:count]]
    return answers_figure(
        images[wrong[:count]], texts, names=below, title=heading if title is None else title, size=size
    )
