"""Images as a network sees them, each with its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_instance, refusal

from ._figure_style import new_figure, note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_IMAGES = 100  # images in one figure
_WIDTH, _MARGIN = 1200, 110  # pixels
_LETTERS = 22


def answers_figure(
    images: npt.ArrayLike,
    answers: Sequence[str],
    *,
    names: Sequence[str] | None = None,
    title: str = "What the network sees, and its answers",
    size: tuple[int, int] | None = None,
) -> Figure:
    """Draw images (n, channels, height, width) in [0, 1], each with its answer above it and its name below.

    Of more than 100 the first are drawn, which the figure says.

    Raises
    ------
    ValueError
        If there are no images, or not as many answers as images.

    Examples
    --------
    >>> figure = answers_figure(np.zeros((2, 1, 8, 8)), ["3 (99 %)", "4 (51 %)"])
    >>> [axes.get_title() for axes in figure.axes]
    ['3 (99 %)', '4 (51 %)']
    """
    images = as_array(images, "images", ("n", "channels", "height", "width"))
    for name, texts in (("answers", answers), ("names", answers if names is None else names)):
        if not len(images) or len(as_instance(texts, list | tuple, name)) != len(images):
            raise refusal(name, f"{len(texts)} for {len(images)} images", "as many, at least one")
    shown = min(len(images), MOST_IMAGES)
    columns = min(shown, max(4, int(np.ceil(np.sqrt(shown)))))
    rows = -(-shown // columns)
    usual = (_WIDTH, max(300, rows * _WIDTH // max(columns, 4) + _MARGIN))
    figure = new_figure(usual if size is None else size)
    figure.suptitle(as_instance(title, str, "title"), parse_math=False)
    for number in range(shown):
        axes = figure.add_subplot(rows, columns, number + 1)
        picture = np.clip(images[number], 0, 1)
        picture = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(answers[number], fontsize=9, parse_math=False)
        axes.set_xticks([])
        axes.set_yticks([])
        if names is not None:
            axes.set_xlabel(_shortened(names[number]), fontsize=7, parse_math=False)
    note(figure, f"the first {shown} of {len(images)} images" if shown < len(images) else "")
    return figure


def _shortened(name):
    """A name of at most 23 letters, its end kept.

    >>> _shortened("a-rather-long-name-of-a-picture.png")
    '…-name-of-a-picture.png'
    """
    return name if len(name) <= _LETTERS else "…" + name[-_LETTERS:]
