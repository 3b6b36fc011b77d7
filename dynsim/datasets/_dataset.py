"""What a data set is once it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_count, as_instance, describe, refusal
from dynsim._described import Described
from dynsim.errors import DataError

from ._pictures import background_of, looks_inverted


@dataclass(frozen=True, repr=False)
class Dataset(Described):
    """Images (n, channels, height, width) float32, as in [0, 1], and labels (n,) int64, for training and for testing.

    `class_names` are those of the classes 0, 1, ... (their numbers, by default); `notes` are sentences on how the files
    were read.

    Raises TypeError or ValueError for anything else: whole numbers as images, numbers that are not finite, labels that
    are no whole numbers from 0 to classes - 1, images for testing of another size than those for training.
    """

    name: str
    train_images: npt.NDArray
    _: KW_ONLY
    train_labels: npt.NDArray
    test_images: npt.NDArray
    test_labels: npt.NDArray
    classes: int
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        self.check()
        if self.class_names is None:
            object.__setattr__(self, "class_names", tuple(map(str, range(self.classes))))

    def facts(self) -> dict:
        """What it is shown by."""
        shape = " x ".join(map(str, self.train_images.shape[1:]))
        counts = {"training images": len(self.train_images), "test images": len(self.test_images)}
        return {"name": self.name, **counts, "channels x height x width": shape, "classes": self.classes}

    @property
    def background(self) -> float:
        """Brightness of the training images' background."""
        return background_of(self.train_images)

    def for_model(self, class_names: Sequence[str], background: float | None) -> Dataset:
        """The same images for a model with these classes, trained on images with a background of this brightness.

        Labels become those of the classes of the same names. Where most images look inverted (see `looks_inverted`) all
        are, as they come from one source; `notes` says so. Without `background` none are.

        Raises
        ------
        DataError
            If a class has another name than all of the model's.

        Examples
        --------
        >>> import dynsim
        >>> digits = dynsim.datasets.load("digits")
        >>> digits.test_labels[:3], digits.for_model(digits.class_names[::-1], 0.0).test_labels[:3]
        (array([7, 6, 3]), array([2, 3, 6]))
        """
        names, notes = list(class_names), list(self.notes)
        present = {self.class_names[k] for k in np.unique(np.concatenate([self.train_labels, self.test_labels]))}
        unknown = sorted(present - set(names))
        if unknown:
            some = ", ".join(unknown[:5])
            raise refusal(self.name, f"the class {some}", f"those of the model: {', '.join(names)}", error=DataError)
        place = np.array([names.index(name) if name in names else -1 for name in self.class_names])
        images = {"train_images": self.train_images, "test_images": self.test_images}
        if background is not None and np.mean(looks_inverted(self.test_images, background)) > 0.5:
            images = {name: 1 - some for name, some in images.items()}
            notes.append(
                f"{self.name}: the images were inverted, as most have the opposite background of those trained on."
            )
        return replace(
            self, train_labels=place[self.train_labels], test_labels=place[self.test_labels], classes=len(names),
            class_names=tuple(names), notes=tuple(notes), **images,
        )  # fmt: skip

    def check(self):
        """Refuse what is not as the class says, also if the arrays were changed since they were given."""
        as_instance(self.name, str, "name")
        as_count(self.classes, "classes")
        for part in ("train", "test"):
            images = as_instance(getattr(self, f"{part}_images"), np.ndarray, f"{part}_images")
            labels = as_instance(getattr(self, f"{part}_labels"), np.ndarray, f"{part}_labels")
            _check_images(images, f"{part}_images")
            _check_labels(labels, f"{part}_labels", len(images), self.classes)
        sizes = [images.shape[1:] for images in (self.train_images, self.test_images)]
        if sizes[0] != sizes[1]:
            raise refusal(
                "test_images", f"images of shape {sizes[1]}", f"{sizes[0]}, as of train_images", "make them alike"
            )
        for name in ("class_names", "notes"):
            texts = getattr(self, name, None)  # of a class of one's own it may not have
            if texts is not None and not all(isinstance(text, str) for text in as_instance(texts, tuple, name)):
                raise refusal(name, describe(texts), "a tuple of texts", error=TypeError)
        names = getattr(self, "class_names", None)
        if names is not None and len(names) != self.classes:
            raise refusal("class_names", f"{len(names)} names", f"{self.classes}, one for each class")


def _check_images(images, name):
    if images.dtype.kind in "iub":
        do = "divide bytes by 255, as images.astype('float32') / 255"
        raise refusal(name, f"whole numbers ({images.dtype})", "float32", do, error=TypeError)
    as_array(images, name, ("n", "channels", "height", "width"))


def _check_labels(labels, name, count, classes):
    expected = f"whole numbers from 0 to {classes - 1}"
    if labels.dtype.kind not in "iu":
        do = "convert them, as labels.astype('int64'), or number the classes"
        raise refusal(name, f"labels of type {labels.dtype}", expected, do, error=TypeError)
    if labels.shape != (count,):
        raise refusal(name, f"shape {labels.shape}", f"({count},), a label for every image")
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        raise refusal(name, f"the label {labels[wrong][0]}", expected, "count from 0, or give more classes")
