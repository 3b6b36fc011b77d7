"""Pictures as arrays, and images of one shape made of images of another: greyed, padded, resized, inverted."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_choice, as_count, as_flag, as_instance, as_number, refusal
from dynsim._files import expect_stored
from dynsim.errors import DataError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
INVERT = ("auto", "yes", "no")
FILLED = 5 / 7  # of an image of MNIST, 20 of 28 pixels, is what a digit fills
EVEN = 0.2  # brightness; within it of the median lies half of a border that counts as one colour


def read_picture(path: str | os.PathLike) -> npt.NDArray:
    """Return a picture as (channels, height, width) float32 in [0, 1], one channel if it is grey and three if not.

    What is transparent becomes white, as on paper. It is turned as its camera says. Of an animation, the first frame.

    Raises
    ------
    DataError
        If it cannot be read as a picture.
    FileError
        If it unpacks to more than $DYNSIM_BUDGET GiB.
    FileNotFoundError
        If there is none.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "grey.png"
    >>> Image.new("L", (3, 2), 51).save(path)
    >>> picture = read_picture(path)
    >>> picture.shape, float(picture[0, 0, 0])
    ((1, 2, 3), 0.20000000298023224)
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(as_instance(path, str | os.PathLike, "path"))
    try:
        with Image.open(path) as opened:
            width, height = opened.size
            expect_stored(12 * width * height, path.stat().st_size, path)
            image = ImageOps.exif_transpose(opened)
            if "A" in image.getbands() or "transparency" in image.info:
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
                image = image.convert("L" if opened.mode in ("1", "L", "LA") else "RGB")
            if image.mode == "F":
                raise refusal(path, "pixels that are fractions", "whole numbers, whose range is known", error=DataError)
            if image.mode[0] == "I":  # 16 bits
                pixels = np.asarray(image, np.float32) / 65535
                if pixels.size and not 0 <= pixels.min() <= pixels.max() <= 1:
                    raise refusal(path, "pixels of more than 16 bits", "8 or 16 bits", error=DataError)
                return pixels[None]
            image = image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
            pixels = np.asarray(image, np.float32) / 255
    except FileNotFoundError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise refusal(path, f"no picture ({error})", f"one of {', '.join(ENDINGS)}", error=DataError) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read as a picture ({error}); give another file.") from None
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def border_of(images: npt.NDArray) -> npt.NDArray:
    """Return the pixels on the four sides of images (n, channels, height, width), averaged over channels, as (n, p).

    Examples
    --------
    >>> border_of(np.arange(9.0).reshape(1, 1, 3, 3))
    array([[0., 1., 2., 6., 7., 8., 0., 3., 6., 2., 5., 8.]])
    """
    grey = images.mean(axis=1)
    return np.concatenate([grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]], axis=1)


def background_of(images: npt.ArrayLike) -> float:
    """Return the brightness of the background of images (n, channels, height, width): the median of their borders.

    Examples
    --------
    >>> import dynsim
    >>> background_of(dynsim.datasets.load("digits").train_images)
    0.0
    """
    images = as_array(images, "images", ("n", "channels", "height", "width"))
    return float(np.median(np.median(border_of(images), axis=1))) if len(images) else 0.0


def looks_inverted(images: npt.NDArray, background: float) -> npt.NDArray:
    """Return for each image whether its background looks like the opposite of the brightness `background`.

    It does if half of its border is nearly of one brightness, which is nearer to 1 - background than to background.

    Examples
    --------
    >>> black, white = np.zeros((1, 1, 4, 4)), np.ones((1, 1, 4, 4))
    >>> looks_inverted(np.concatenate([black, white]), 0.0)
    array([False,  True])
    """
    border = border_of(images)
    median = np.median(border, axis=1)
    even = np.median(np.abs(border - median[:, None]), axis=1) <= EVEN
    return even & (np.abs(1 - background - median) < np.abs(background - median))


def fit_images(
    images: list[npt.NDArray] | npt.NDArray,
    image: tuple[int, int, int],
    *,
    background: float | None = None,
    invert: str = "auto",
    centre: bool = False,
) -> tuple[npt.NDArray, npt.NDArray]:
    """Make images of one shape: greyed or repeated, padded to the proportions, resized, inverted.

    Parameters
    ----------
    images : list of ndarray (channels, height, width)
        In [0, 1], with one or three channels.
    image : (channels, height, width)
        The shape that is wanted. Pixels are averaged or interpolated linearly; the margins have the brightness of the
        image's border.
    background : float, optional
        Brightness of the background that is wanted, for `invert="auto"`; by default nothing is inverted.
    invert : {"auto", "yes", "no"}
        Whether dark becomes light; auto: if the border looks like the opposite of `background` (`looks_inverted`).
    centre : bool
        What stands out from the border is made as large as fits five sevenths of the image, its centre of mass in the
        middle, as digits of MNIST are. Images of one brightness stay as they are.

    Returns
    -------
    ndarray (n, channels, height, width) float32, ndarray (n,) of bool
        The images, and which of them were inverted.

    Raises
    ------
    ValueError, TypeError
        If a shape does not fit.

    Examples
    --------
    >>> fitted, inverted = fit_images([np.ones((3, 40, 20))], (1, 8, 8), background=0.0)
    >>> fitted.shape, float(fitted.max()), inverted
    ((1, 1, 8, 8), 0.0, array([ True]))
    """
    if len(as_instance(image, tuple | list, "image")) != 3:
        raise refusal("image", image, "(channels, height, width)")
    channels, height, width = (as_count(size, "image") for size in image)
    as_instance(images, list | tuple | np.ndarray, "images")
    as_flag(centre, "centre")
    as_choice(invert, INVERT, "invert")
    if background is not None:
        as_number(background, "background", minimum=0)
    if isinstance(images, np.ndarray):
        images = as_array(images, "images", ("n", "channels", "height", "width"))
    found = np.empty((len(images), channels, height, width), np.float32)
    for number, one in enumerate(images):
        one = as_array(one, f"images[{number}]", ("channels", "height", "width"), dtype=np.float32)
        one = _with_channels(one, channels)
        found[number] = _centred(one, height, width) if centre else _resized(one, height, width)
    if invert == "yes":
        inverted = np.ones(len(found), bool)
    elif invert == "no" or background is None or not len(found):
        inverted = np.zeros(len(found), bool)
    else:
        inverted = looks_inverted(found, background)
    found[inverted] = 1 - found[inverted]
    return found, inverted


def _with_channels(image, channels):
    if len(image) == channels:
        return image
    if channels == 1 and len(image) == 3:
        return np.tensordot(LUMA, image, 1)[None]
    if len(image) == 1:
        return np.repeat(image, channels, axis=0)
    raise refusal("images", f"{len(image)} channels", f"1, 3 or {channels}")


def _resized(image, height, width):
    if image.shape[1:] == (height, width):
        return image
    _, rows, columns = image.shape
    # A margin on two sides makes the proportions those that are wanted, so that nothing is stretched.
    tall, wide = max(rows, round(columns * height / width)), max(columns, round(rows * width / height))
    if (tall, wide) != (rows, columns):
        colour = np.median(_border_of_channels(image), axis=1)
        padded = np.empty((len(image), tall, wide), np.float32)
        padded[...] = colour[:, None, None]
        top, left = (tall - rows) // 2, (wide - columns) // 2
        padded[:, top : top + rows, left : left + columns] = image
        image = padded
    return _scaled(image, height, width)


def _centred(image, height, width):
    """What stands out from the border, by more than half of what stands out most, in the middle of its brightness."""
    colour = np.median(_border_of_channels(image), axis=1)
    excess = np.abs(image - colour[:, None, None]).max(axis=0)
    rows, columns = (np.flatnonzero((excess > excess.max() / 2).any(axis=axis)) for axis in (1, 0))
    found = np.empty((len(image), height, width), np.float32)
    found[...] = colour[:, None, None]
    if not excess.max() > 0:
        return found
    part = image[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = FILLED * min(height / part.shape[1], width / part.shape[2])
    tall, wide = (max(1, round(scale * side)) for side in part.shape[1:])
    part = _scaled(part, tall, wide)
    excess = np.abs(part - colour[:, None, None]).max(axis=0).astype(np.float64)
    middle = [np.average(np.arange(len(sums)) + 0.5, weights=sums) for sums in (excess.sum(1), excess.sum(0))]
    top = int(np.clip(round(height / 2 - middle[0]), 0, height - tall))
    left = int(np.clip(round(width / 2 - middle[1]), 0, width - wide))
    found[:, top : top + tall, left : left + wide] = part
    return found


def _scaled(image, height, width):
    from PIL import Image

    smaller = height <= image.shape[1] and width <= image.shape[2]
    method = Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(channel).resize((width, height), method)) for channel in image])


def _border_of_channels(image):
    return border_of(image[:, None])
