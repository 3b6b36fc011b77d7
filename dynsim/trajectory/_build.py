"""Lay out an empty H5MD 1.1 file: https://nongnu.org/h5md/h5md.html"""

import numpy as np

from dynsim.trajectory import _layout
from dynsim.trajectory._open import create
from dynsim.trajectory._provenance import author, package_version, provenance, to_json


def build(path, shape, signals, groups, observables, dtype, parameters, seed, extra, overwrite):
    """Create the file with all groups and empty datasets, flushed, so that it can be read from now on."""
    # All that can be refused is refused before an old file is overwritten.
    records = {_layout.CONFIGURATION: to_json({} if parameters is None else dict(parameters))}
    for name, value in {**provenance(dtype), "seed": seed, **(extra or {})}.items():
        records[name] = to_json(value)
    file = create(path, overwrite)
    try:
        file.attrs["dynsim"] = "trajectory"
        _metadata(file)
        _particles(file, shape, signals, groups, dtype)
        made = file.create_group(_layout.OBSERVABLES, track_order=True)
        for name in observables:
            _element(file, made.create_group(name), (), np.float64)
        made = file.create_group(_layout.PARAMETERS, track_order=True)
        for name, value in records.items():
            _layout.text(made, name, value)
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def _metadata(file):
    head = file.create_group("h5md")
    head.attrs["version"] = np.array(_layout.H5MD_VERSION, dtype=np.int32)
    head.create_group("author").attrs["name"] = author()
    creator = head.create_group("creator")
    creator.attrs["name"] = _layout.CREATOR
    creator.attrs["version"] = package_version()


def _particles(file, shape, signals, groups, dtype):
    # MDAnalysis reads the first group, so creation order must be kept and the 3-D view come first.
    particles = file.create_group("particles", track_order=True)
    view, native = particles.create_group("view"), particles.create_group("native")
    # Without a topology file it takes the number of atoms from a group of this name: a hard link to the view.
    particles["trajectory"] = view
    count = shape["neurons"] * shape["copies"]
    for group, dimension in ((view, 3), (native, shape["dimension"])):
        _layout.box(group, dimension)
    for name, value in shape.items():
        native.attrs[name] = value
    if signals is not None:
        native.attrs["signals"] = signals
    native.attrs["note"] = f"places q (T, H*N, d), copy after copy; {_layout.DIMENSIONLESS}"
    view.attrs["note"] = f"the first three coordinates of the places, zero padded; {_layout.DIMENSIONLESS}"
    native.create_dataset("species", data=np.tile(groups, shape["copies"]))
    view["species"] = native["species"]
    element = native.create_group("position")
    _layout.growing(element, "step", (), np.int64)
    _layout.growing(element, "time", (), np.float64).attrs["unit"] = "ps"
    _layout.growing(element, "value", (count, shape["dimension"]), dtype).attrs["unit"] = "Angstrom"
    if shape["dimension"] == 3:
        view["position"] = element  # the same numbers: one object under two names, not two copies
    else:
        _element(file, view.create_group("position"), (count, 3), dtype).attrs["unit"] = "Angstrom"
    if signals is not None:
        for name in ("received_signal", "emitted_signal"):
            _element(file, native.create_group(name), (shape["neurons"], signals), dtype)


def _element(file, group, shape, dtype):
    """A time-dependent H5MD element on the frames' own grid: step and time are hard links."""
    group["step"], group["time"] = file[_layout.STEP], file[_layout.TIME]
    return _layout.growing(group, "value", shape, dtype)
