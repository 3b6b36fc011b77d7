"""The layout of an H5MD 1.1 file (https://nongnu.org/h5md/h5md.html): where things are, how they are made and found."""

from __future__ import annotations

import math

import h5py
import numpy as np

from dynsim._files import seal

from ._provenance import author, package_version

H5MD_VERSION = (1, 1)
CREATOR = "dynsim"
VIEW = "particles/view"  # three coordinates, for molecular viewers
NATIVE = "particles/native"  # places and velocities in all their dimensions, and the signals
STEP = f"{NATIVE}/position/step"
TIME = f"{NATIVE}/position/time"
PLACES = f"{NATIVE}/position/value"
RECEIVED = f"{NATIVE}/received_signal/value"
EMITTED = f"{NATIVE}/emitted_signal/value"
VIEW_PLACES = f"{VIEW}/position/value"
# Of neurons with mass only.
MASSES = f"{NATIVE}/mass"
VELOCITIES = f"{NATIVE}/velocity/value"
VIEW_VELOCITIES = f"{VIEW}/velocity/value"
VIEWS = {VIEW_PLACES: PLACES, VIEW_VELOCITIES: VELOCITIES}
GROUPS = f"{NATIVE}/species"  # H5MD's word for the kind of a particle
OBSERVABLES = "observables"
PARAMETERS = "parameters"
CONFIGURATION = "configuration"
IDENTIFYING = ("dynsim", "identity")  # attributes of the file itself, to which others may add

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


def lay_out(file, shape, signals, groups, observables, dtype, identity, records, mass=None):
    """Make all groups and empty datasets of a new file, so that it can be read from now on.

    `records` are the texts (JSON) stored as parameters; `mass` (N,) is that of neurons with velocities of their own.
    """
    file.attrs["dynsim"] = "trajectory"
    file.attrs["identity"] = identity
    head = file.create_group("h5md")
    head.attrs["version"] = np.array(H5MD_VERSION, dtype=np.int32)
    head.create_group("author").attrs["name"] = author()
    creator = head.create_group("creator")
    creator.attrs["name"] = CREATOR
    creator.attrs["version"] = package_version()
    _particles(file, shape, signals, groups, dtype)
    if mass is not None:
        _inertia(file, shape, mass, dtype)
    made = file.create_group(OBSERVABLES, track_order=True)
    for name in observables:
        _element(file, made.create_group(name), (), np.float64)
    made = file.create_group(PARAMETERS, track_order=True)
    for name, value in records.items():
        store_text(made, name, value)
    seal(file, *IDENTIFYING)
    file.visititems(lambda _, item: seal(item) if isinstance(item, h5py.Dataset) or item.attrs else None)


def _particles(file, shape, signals, groups, dtype):
    # MDAnalysis reads the first group, so creation order must be kept and the 3-D view come first.
    particles = file.create_group("particles", track_order=True)
    view, native = particles.create_group("view"), particles.create_group("native")
    # Without a topology file it takes the number of atoms from a group of this name: a hard link to the view.
    particles["trajectory"] = view
    count = shape["neurons"] * shape["copies"]
    for group, dimension in ((view, 3), (native, shape["dimension"])):
        box = group.create_group("box")  # of an unbounded space
        box.attrs["dimension"] = dimension
        box.attrs["boundary"] = np.array(["none"] * dimension, dtype=object)
    for name, value in shape.items():
        native.attrs[name] = value
    if signals is not None:
        native.attrs["signals"] = signals
    native.attrs["note"] = f"places q (T, H*N, d), copy after copy; {DIMENSIONLESS}"
    view.attrs["note"] = f"the first three coordinates of the places, zero padded; {DIMENSIONLESS}"
    native.create_dataset("species", data=np.tile(groups, shape["copies"]))
    view["species"] = native["species"]
    element = native.create_group("position")
    _growing(element, "step", (), np.int64)
    _growing(element, "time", (), np.float64).attrs["unit"] = "ps"
    _growing(element, "value", (count, shape["dimension"]), dtype).attrs["unit"] = "Angstrom"
    if shape["dimension"] == 3:
        view["position"] = element  # the same numbers: one object under two names, not two copies
    else:
        _element(file, view.create_group("position"), (count, 3), dtype).attrs["unit"] = "Angstrom"
    if signals is not None:
        for name in ("received_signal", "emitted_signal"):
            _element(file, native.create_group(name), (shape["neurons"], signals), dtype)


def _inertia(file, shape, mass, dtype):
    """Masses and velocities, beside the places and in the same order."""
    view, native = file[VIEW], file[NATIVE]
    native.attrs["velocities"] = 1  # sealed: a file that lost them is damaged
    native.create_dataset("mass", data=np.tile(mass, shape["copies"]))
    view["mass"] = native["mass"]
    element, count = native.create_group("velocity"), shape["neurons"] * shape["copies"]
    unit = "Angstrom ps-1"  # of no more meaning than those of places and times
    _element(file, element, (count, shape["dimension"]), dtype).attrs["unit"] = unit
    if shape["dimension"] == 3:
        view["velocity"] = element
    else:
        _element(file, view.create_group("velocity"), (count, 3), dtype).attrs["unit"] = unit


def _element(file, group, shape, dtype):
    """A time-dependent H5MD element on the frames' own grid: step and time are hard links."""
    group["step"], group["time"] = file[STEP], file[TIME]
    return _growing(group, "value", shape, dtype)


def _growing(group, name, shape, dtype):
    """A dataset whose first axis, the frames, grows; HDF5 keeps a checksum with every chunk."""
    chunks = chunk_shape(shape, np.dtype(dtype).itemsize)
    maxshape = (None, *shape)
    return group.create_dataset(name, (0, *shape), dtype, maxshape=maxshape, chunks=chunks, fletcher32=True)


def store_text(group, name, value):
    """Store a string as a dataset (attributes of the default file version end at 64 KiB)."""
    if name in group:
        del group[name]
    seal(group.create_dataset(name, data=value, dtype=h5py.string_dtype()))


def three_coordinates(places):
    """The first three coordinates of places (..., d), zeros where d < 3.

    >>> three_coordinates(np.ones((2, 2))).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    """
    view = np.zeros((*places.shape[:-1], 3), dtype=places.dtype)
    kept = min(3, places.shape[-1])
    view[..., :kept] = places[..., :kept]
    return view
