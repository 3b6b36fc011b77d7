"""Photographs: those of a folder, or those that scikit-image and scikit-learn ship, and parts of them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from dynsim._check import refusal
from dynsim.datasets import search_path
from dynsim.errors import DataError

SHIPPED = "photographs"
ENDINGS = (".jpg", ".jpeg", ".png")
# Of scikit-image: what is a photograph of something, in colour.
SKIMAGE = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle_left", "motorcycle_right", "ihc", "retina",
           "hubble_deep_field")  # fmt: skip
MEAN, DEVIATION = 127.0, 128.0  # of the colours, as the networks were trained


def find_images(name: str, data_dir: str | Path | None = None) -> list[Path]:
    """Files of a folder on the data sets' search path, those in folders inside it too, or of "photographs".

    Raises
    ------
    DataError
        If there is no such folder, or no image in it.
    ImportError
        If neither scikit-image nor scikit-learn is installed, for "photographs".
    """
    if name == SHIPPED:
        return _shipped()
    folders = [Path(name), *(folder / name for folder in search_path(data_dir))]
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        raise refusal("images", repr(name), f"a folder of images, or {SHIPPED!r}", error=DataError)
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    if not found:
        raise refusal("images", f"none in {folder}", f"files that end in {', '.join(ENDINGS)}", error=DataError)
    return found


def _shipped():
    places = {"skimage": "data", "sklearn": "datasets/images"}
    found = []
    for package, inside in places.items():
        spec = find_spec(package)
        if spec is not None:
            files = sorted((Path(spec.origin).parent / inside).iterdir())
            known = SKIMAGE if package == "skimage" else None
            found += [path for path in files if path.suffix in ENDINGS and (known is None or path.stem in known)]
    if not found:
        raise ImportError("The photographs are in scikit-image and scikit-learn: pip install scikit-image scikit-learn")
    return found


def crops(paths: list[Path], size: int, count: int, seed: int = 0):
    """Squares of random place, size and direction, `count` of every image, as a tensor (n, 3, size, size).

    The shorter side of a square is 0.4 to 1 of the image's. Pixels are those that the networks were trained on.

    Raises
    ------
    DataError
        If a file is no image.
    """
    import torch
    from PIL import Image, UnidentifiedImageError

    generator, found = np.random.default_rng(seed), []
    for path in paths:
        try:
            with Image.open(path) as opened:
                image = opened.convert("RGB")
        except (UnidentifiedImageError, OSError) as error:
            raise DataError(f"{path} is no image that can be read ({error}); remove it from the folder.") from None
        width, height = image.size
        for _ in range(count):
            side = max(1, int(min(width, height) * generator.uniform(0.4, 1.0)))
            left, top = (int(generator.integers(0, length - side + 1)) for length in (width, height))
            part = image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)
            pixels = (np.asarray(part, np.float32) - MEAN) / DEVIATION
            found.append((pixels[:, ::-1] if generator.random() < 0.5 else pixels).transpose(2, 0, 1))
    return torch.from_numpy(np.ascontiguousarray(found))
