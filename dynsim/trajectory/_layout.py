"""Where things are in the file, and how much of it is written at a time."""

import math

import h5py
import numpy as np

H5MD_VERSION = (1, 1)
CREATOR = "dynsim"
VIEW = "particles/view"  # three coordinates, for molecular viewers
NATIVE = "particles/native"  # the places in all their dimensions, and the signals
STEP = f"{NATIVE}/position/step"
TIME = f"{NATIVE}/position/time"
PLACES = f"{NATIVE}/position/value"
RECEIVED = f"{NATIVE}/received_signal/value"
EMITTED = f"{NATIVE}/emitted_signal/value"
VIEW_PLACES = f"{VIEW}/position/value"
GROUPS = f"{NATIVE}/species"  # H5MD's word for the kind of a particle
OBSERVABLES = "observables"
PARAMETERS = "parameters"
CONFIGURATION = "configuration"

FRAMES_PER_CHUNK = 64
BYTES_PER_CHUNK = 16 * 2**20  # a frame of a million neurons must not make chunks of gigabytes

DIMENSIONLESS = (
    "coordinates and times are dimensionless; the units 'Angstrom' and 'ps' are written only so that "
    "readers of molecular trajectories do not rescale the numbers"
)


def observable(name):
    """Path of the values of an observable."""
    return f"{OBSERVABLES}/{name}/value"


def chunk_shape(shape, itemsize):
    """Chunk for frames of `shape`: 64 whole frames, fewer (then fewer particles) where that exceeds 16 MiB.

    >>> chunk_shape((100, 3), 8)
    (64, 100, 3)
    >>> chunk_shape((10_000_000, 3), 8)
    (1, 699050, 3)
    """
    frame = max(1, math.prod(shape)) * itemsize
    frames = min(max(BYTES_PER_CHUNK // frame, 1), FRAMES_PER_CHUNK)
    if not shape:
        return (frames,)
    row = frame // shape[0]
    return (frames, min(max(BYTES_PER_CHUNK // (frames * row), 1), shape[0]), *shape[1:])


def growing(group, name, shape, dtype):
    """Make a dataset whose first axis, the frames, grows."""
    dtype = np.dtype(dtype)
    return group.create_dataset(
        name,
        shape=(0, *shape),
        maxshape=(None, *shape),
        chunks=chunk_shape(shape, dtype.itemsize),
        dtype=dtype,
    )


def text(group, name, value):
    """Store a string as a dataset (attributes of the default file version end at 64 KiB)."""
    group.create_dataset(name, data=value, dtype=h5py.string_dtype())


def box(group, dimension):
    """H5MD's box of an unbounded space of `dimension` dimensions."""
    made = group.create_group("box")
    made.attrs["dimension"] = dimension
    made.attrs["boundary"] = np.array(["none"] * dimension, dtype=object)


def three_coordinates(places):
    """The first three coordinates of places (..., d), zeros where d < 3.

    >>> three_coordinates(np.ones((2, 2))).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    """
    view = np.zeros((*places.shape[:-1], 3), dtype=places.dtype)
    kept = min(3, places.shape[-1])
    view[..., :kept] = places[..., :kept]
    return view
