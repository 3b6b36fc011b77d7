"""A bit that is flipped in what is stored is found, and the part that it is in is named."""

import re

import h5py
import numpy as np
import pytest

import dynsim
from dynsim._files import Stored
from dynsim.errors import DataError, FileError
from dynsim.trajectory import Trajectory, TrajectoryWriter, load_checkpoint, save_checkpoint, validate

FLIPS = 40  # of every file; 200 with -m slow


def ranges(path):
    """Where the numbers, texts and attributes that dynsim wrote are in a file: [(name, start, size)]."""
    raw, found = path.read_bytes(), []

    def look(name, item):
        if isinstance(item, h5py.Dataset):
            if item.chunks is not None:
                for number in range(item.id.get_num_chunks()):
                    chunk = item.id.get_chunk_info(number)
                    found.append((f"{name}[{chunk.chunk_offset[0]}]", chunk.byte_offset, chunk.size))
            elif h5py.check_string_dtype(item.dtype):
                text = item.asstr()[()].encode()
                found.append((name, raw.index(text), len(text)))
            else:
                found.append((name, item.id.get_offset(), item.nbytes))
        for key in item.attrs:
            value = item.attrs[key]
            value = value.encode() if isinstance(value, str) else np.asarray(value).tobytes()
            if not np.asarray(item.attrs[key]).dtype.hasobject and raw.count(value) == 1 and len(value) > 3:
                found.append((f"{name}.{key}", raw.index(value), len(value)))

    with h5py.File(path) as file:
        look("/", file)
        file.visititems(look)
    return [(name, start, size) for name, start, size in found if size]


def flipped(path, seed, count):
    """Copies of a file, each with one bit flipped within what is stored; gives (name of the part, copy)."""
    raw, generator = path.read_bytes(), np.random.default_rng(seed)
    parts = ranges(path)
    sizes = np.array([size for _, _, size in parts], float)
    copy = path.with_name(f"flipped-{path.name}")
    for number in range(count):
        # Half of them anywhere, half in a part chosen first, so that small parts are met, too.
        weights = sizes / sizes.sum() if number % 2 else np.full(len(parts), 1 / len(parts))
        name, start, size = parts[generator.choice(len(parts), p=weights)]
        changed = bytearray(raw)
        changed[start + int(generator.integers(size))] ^= 1 << int(generator.integers(8))
        copy.write_bytes(changed)
        yield name, copy


def says_damage(check, path):
    """What `check` finds, or the sentence that it raises."""
    try:
        return check(path)
    except (FileError, DataError) as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return [str(error)]


def write(path, seed=0, frames=150):
    generator = np.random.default_rng(seed)
    config = {"config_of": "a test", "numbers": generator.normal(size=5).tolist()}
    with TrajectoryWriter(path, neurons=5, dimension=2, copies=2, signals=1, groups=[0, 1, 2, 3, 4], seed=7,
                          parameters=config, observables=["energy"]) as writer:  # fmt: skip
        for k in range(frames):
            writer.write(k, 0.1 * k, generator.normal(size=(2, 5, 2)), generator.normal(size=5), np.ones(5), energy=k)
        writer.record("outcome", {"status": 0, "message": "done"})
    return path


def model(path):
    dynsim.models.mlp(widths=(16, 8, 4), copies=2, dim=3).save(path)
    return path


def load_model(path):
    dynsim.load_model(path)
    return []


def checkpoint(path):
    generator = np.random.default_rng(1)
    save_checkpoint(path, {"t": 0.5, "q": generator.normal(size=(9, 3)), "parts": [1, {"E": np.ones(4)}]}, run="mine")
    return path


def read_checkpoint(path):
    try:
        load_checkpoint(path, run="mine")
    except dynsim.errors.DataError as error:  # its identity is another one
        return [str(error)]
    return []


FILES = {"run.h5": (write, validate), "model.h5": (model, load_model), "run.checkpoint": (checkpoint, read_checkpoint)}


@pytest.mark.parametrize("count", [FLIPS, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FILES)
def test_every_flipped_bit_is_found(tmp_path, name, count):
    make, check = FILES[name]
    path = make(tmp_path / name)
    assert check(path) == []
    missed = [part for part, copy in flipped(path, count, count) if not says_damage(check, copy)]
    assert not missed


def numbers(name, path):
    """All that a reader gives of a file, as bytes and texts."""
    if name == "run.h5":
        with Trajectory(path) as read:
            parts = [read.q[:], read.R[:], read.E[:], read.time[:], read.step[:], read.groups,
                     read.observables["energy"][:], read.parameters, read.seed, read.provenance]  # fmt: skip
    elif name == "model.h5":
        read = dynsim.load_model(path)
        parts = [*read.arrays.values(), read.config, read.results]
    else:
        state = load_checkpoint(path, run="mine")
        parts = [state["t"], state["q"], state["parts"][0], state["parts"][1]["E"]]
    return [part.tobytes() if isinstance(part, np.ndarray) else repr(part) for part in parts]


@pytest.mark.skipif(h5py.version.hdf5_version_tuple < (2, 0), reason="HDF5 before 2.0 can end Python by such a bit")
@pytest.mark.parametrize("count", [FLIPS, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FILES)
def test_a_bit_flipped_anywhere_is_found_or_changes_nothing(tmp_path, name, count):
    """Of the bytes in which HDF5 says what is where, many do not matter."""
    make, check = FILES[name]
    path = make(tmp_path / name)
    whole, raw, copy = numbers(name, path), path.read_bytes(), tmp_path / f"flipped-{name}"
    generator = np.random.default_rng(count)
    for _ in range(count):
        changed, place = bytearray(raw), int(generator.integers(len(raw)))
        changed[place] ^= 1 << int(generator.integers(8))
        copy.write_bytes(changed)
        assert says_damage(check, copy) or numbers(name, copy) == whole, place


def flip(path, name, frame=None, bit=3):
    """Flip a bit of a dataset: in the chunk that begins with a frame, or in what is stored as one piece."""
    with h5py.File(path) as file:
        item, raw = file[name], bytearray(path.read_bytes())
        if frame is not None:
            chunks = [item.id.get_chunk_info(number) for number in range(item.id.get_num_chunks())]
            start = next(chunk.byte_offset for chunk in chunks if chunk.chunk_offset[0] == frame)
        elif h5py.check_string_dtype(item.dtype):
            start = raw.index(item.asstr()[()].encode())
        else:
            start = item.id.get_offset()
    raw[start + 5] ^= 1 << bit
    path.write_bytes(raw)


LARGE = ["native/position/value", "view/position/value", "native/received_signal/value", "native/emitted_signal/value"]


@pytest.mark.parametrize("name", LARGE)
def test_damage_in_the_middle_is_named_and_the_rest_is_read(tmp_path, name):
    path = write(tmp_path / "run.h5", frames=200)
    flip(path, f"particles/{name}", frame=64)
    label = {"native/p": "places", "view/pos": "view", "native/r": "R", "native/e": "E"}[name[:8]]
    assert validate(path) == [f"{label}: frames 64 to 127 are damaged, their checksum is wrong"]
    with Trajectory(path) as trajectory:
        assert trajectory.frames == 200
        data = {"places": trajectory.q, "view": trajectory._view, "R": trajectory.R, "E": trajectory.E}[label]
        assert len(data[:64]) == 64 and len(data[128:]) == 72 and data[-1].shape == data.shape[1:]
        for wanted in (slice(None), slice(100, 130), 70, slice(150, 60, -7)):
            where = rf"run\.h5: frames 64 to 127 of /particles/{name} are damaged \(.*; read the others"
            with pytest.raises(FileError, match=where):
                data[wanted]


@pytest.mark.parametrize(
    ("name", "frame", "left"),
    [
        *((f"particles/{name}", 128, 128) for name in LARGE),
        ("particles/native/position/step", 128, 128),
        ("particles/native/position/time", 64, 64),  # what is read whole ends at the first damage
        ("observables/energy/value", 64, 64),
    ],
)
def test_a_damaged_end_is_left_out_with_a_warning(tmp_path, name, frame, left):
    path = write(tmp_path / "run.h5")
    with Trajectory(path) as trajectory:
        places = trajectory.q[:left]
    flip(path, name, frame)
    sentence = f"frames {left} to 149 are damaged in /{name} (their checksums are wrong)"
    with pytest.warns(UserWarning, match=re.escape(f"{path}: {sentence}; they are left out")):
        trajectory = Trajectory(path)
    with trajectory:
        assert trajectory.frames == left and np.array_equal(trajectory.q[...], places)
    assert sentence in validate(path)
    with TrajectoryWriter.append(path) as writer:  # and it goes on from there
        assert writer.frames == left
        writer.write(left, 0.1 * left, np.zeros((2, 5, 2)), np.zeros(5), np.zeros(5), energy=1.0)
    with Trajectory(path) as trajectory:
        assert trajectory.frames == left + 1 and np.array_equal(trajectory.q[:left], places)
    assert validate(path) == []


def test_damage_in_a_last_chunk_that_is_full_is_left_out(tmp_path):
    path = write(tmp_path / "run.h5", frames=128)
    flip(path, "particles/native/position/value", 64)
    with pytest.warns(UserWarning, match="frames 64 to 127 are damaged"), Trajectory(path) as trajectory:
        assert trajectory.frames == 64


def test_a_file_without_a_sound_frame_is_refused(tmp_path):
    path = write(tmp_path / "run.h5", frames=30)
    flip(path, "particles/native/position/value", 0)
    with pytest.raises(FileError, match=r"run\.h5: frames 0 to 29 are damaged in /particles/native/position/value"):
        Trajectory(path)


@pytest.mark.parametrize("name", ["configuration", "seed", "versions", "outcome", "created"])
def test_texts_have_digests(tmp_path, name):
    path = write(tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        item = file[f"parameters/{name}"]
        item[()] = item.asstr()[()].replace("1", "2").replace("0", "1").replace("7", "6")
    with pytest.raises(FileError, match=rf"run\.h5: /parameters/{name} is damaged \(it is not what its digest says\)"):
        Trajectory(path)


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("/", "identity", "0" * 32),
        ("particles/native", "neurons", 4),
        ("particles/native", "note", "other"),
        ("particles/native/position/value", "unit", "nm"),
    ],
)
def test_attributes_have_digests(tmp_path, where, name, value):
    path = write(tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        file[where].attrs[name] = value
    with pytest.raises(FileError, match=r"is damaged \(it is not what its digest says\)"):
        Trajectory(path)


@pytest.mark.parametrize(("where", "name"), [("h5md/author", "name"), ("particles/view/box", "dimension")])
def test_what_no_reader_asks_for_is_validated(tmp_path, where, name):
    path = write(tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        file[where].attrs[name] = 5
    (found,) = validate(path)  # the view has another name
    assert where.rpartition("/")[2] in found and found.startswith(f"{path}: /") and "not what its digest says" in found


def test_a_group_that_hdf5_cannot_list_is_a_finding(tmp_path):
    path = write(tmp_path / "run.h5")
    raw, found = path.read_bytes(), []
    for node in [place.start() for place in re.finditer(b"SNOD", raw)]:
        path.write_bytes(raw[:node] + b"XNOD" + raw[node + 4 :])
        found += says_damage(validate, path)
    assert len(found) == raw.count(b"SNOD") and all(" is damaged (" in sentence for sentence in found)


@pytest.mark.parametrize("name", [b"\xff\xfe", b"note"])
def test_attributes_that_h5py_cannot_read_are_findings(tmp_path, name):
    """A name that is no text, and a type that NumPy has not."""
    path = write(tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        kind = h5py.h5t.UNIX_D32LE if name == b"note" else h5py.h5t.STD_I8LE
        h5py.h5a.create(file["particles/view/box"].id, name, kind, h5py.h5s.create(h5py.h5s.SCALAR))
    (found,) = validate(path)
    assert re.search(
        r"run\.h5: /particles/(view|trajectory)/box (is damaged|has attribute note of the type Time)", found
    )


def wrong_type(path, place):
    """A text becomes a list of any length by one bit of its type; HDF5 would end Python in reading it."""
    raw = bytearray(path.read_bytes())
    start = raw.index(b"\x19\x01\x01", place(raw))
    raw[start + 1] = 3
    path.write_bytes(raw)


@pytest.mark.parametrize(("make", "read", "name"), [(write, Trajectory, "unit"), (model, load_model, "config")])
def test_an_attribute_of_another_type_is_not_read(tmp_path, make, read, name):
    path = make(tmp_path / "made.h5")
    wrong_type(path, lambda raw: raw.index(f"{name}\0".encode()))
    with pytest.raises(FileError, match=rf"/.* has attribute {name} of the type Vlen instead of texts or numbers"):
        read(path)


def test_a_text_of_another_type_is_not_read(tmp_path):
    path = write(tmp_path / "run.h5")
    with h5py.File(path) as file:
        start = h5py.h5o.get_info(file["parameters/configuration"].id).addr
    wrong_type(path, lambda raw: start)
    with pytest.raises(FileError, match=r"configuration has data of the type Vlen instead of texts or numbers"):
        Trajectory(path)


def test_groups_of_neurons_have_a_digest(tmp_path):
    path = write(tmp_path / "run.h5")
    flip(path, "particles/native/species")
    with pytest.raises(FileError, match=r"species is damaged \(it is not what"):
        Trajectory(path)


def test_notes_of_others_are_no_damage(tmp_path):
    path = write(tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["note"] = "mine"
        file.create_group("mine").attrs["note"] = [1, 2]
    assert validate(path) == []


def without_checksums(path):
    """The file as 0.1.0 wrote it."""
    with h5py.File(path, "r+") as file:
        items = []
        file.visititems(lambda name, item: items.append((name, item)))
        file.attrs.pop("digest", None)
        for name, item in items:
            item.attrs.pop("digest", None)
            if isinstance(item, h5py.Dataset) and item.chunks is not None:
                values, attributes = item[()], dict(item.attrs)
                options = {"maxshape": item.maxshape, "chunks": item.chunks}
                del file[name]
                made = file.create_dataset(name, data=values, **options)
                made.attrs.update(attributes)


def test_files_without_checksums_are_read(tmp_path):
    path = write(tmp_path / "run.h5")
    without_checksums(path)
    assert validate(path) == []
    flip(path, "particles/native/position/value", 64, bit=0)
    assert validate(path) == []  # nobody can know
    with TrajectoryWriter.append(path) as writer:
        writer.write(150, 15.0, np.zeros((2, 5, 2)), np.zeros(5), np.zeros(5))
    assert validate(path) == []
    made = model(tmp_path / "model.h5")
    with h5py.File(made, "r+") as file:
        del file.attrs["digest"]
        for name in file["arrays"]:
            del file[f"arrays/{name}"].attrs["digest"]
    assert load_model(made) == []


def test_a_heap_of_texts_without_an_end_is_refused(tmp_path):
    """HDF5 would go round in it for ever."""
    path = tmp_path / "model.h5"
    dynsim.models.mlp(widths=(4, 3), copies=1, dim=2).save(path)
    raw = bytearray(path.read_bytes())
    heap = raw.index(b"GCOL")
    for first in (heap + 16, heap + 16 + 16 + -(-raw[heap + 24] // 8) * 8):  # its first and its second piece
        broken = bytearray(raw)
        broken[first : first + 16] = bytes(16)
        path.write_bytes(broken)
        with pytest.raises(FileError, match=f"heap of texts at byte {heap} has no end"):
            dynsim.load_model(path)
        path.write_bytes(raw[:8] + bytes(2**24) + broken)  # near the end of a large file
        with pytest.raises(FileError, match=f"heap of texts at byte {heap + 2**24 + 8} has no end"):
            dynsim.load_model(path)


@pytest.mark.parametrize("number", [0, 1, 65535])
@pytest.mark.parametrize("length", [2**12, 2**63, 2**64 - 1])
def test_a_heap_of_texts_with_a_piece_larger_than_itself_is_refused(number, length, tmp_path):
    """Rounded up to whole words, the largest lengths are none at all, and HDF5 would go round for ever."""
    path = model(tmp_path / "model.h5")
    raw = bytearray(path.read_bytes())
    heap = raw.index(b"GCOL")
    first = heap + 16
    raw[first : first + 2], raw[first + 8 : first + 16] = number.to_bytes(2, "little"), length.to_bytes(8, "little")
    path.write_bytes(raw)
    with pytest.raises(FileError, match=f"heap of texts at byte {heap} has a piece of {length:,} bytes"):
        dynsim.load_model(path)


def test_a_heap_of_texts_larger_than_its_file_is_refused(tmp_path):
    """HDF5 would take memory for it, whatever it claims."""
    path = model(tmp_path / "model.h5")
    raw = bytearray(path.read_bytes())
    heap = raw.index(b"GCOL")
    raw[heap + 8 : heap + 16] = (2**31).to_bytes(8, "little")
    path.write_bytes(raw)
    with pytest.raises(FileError, match=f"heap of texts at byte {heap} claims 2,147,483,648 bytes"):
        dynsim.load_model(path)


@pytest.mark.parametrize("name", ["identity", "parameters/configuration"])
def test_a_text_longer_than_its_file_is_refused(tmp_path, name):
    path = write(tmp_path / "run.h5")
    raw = bytearray(path.read_bytes())
    if name == "identity":
        start = raw.index(b"identity\0")
        place = raw.index(b"\x19\x01", start) + 32
    else:
        with h5py.File(path) as file:
            place = file[name].id.get_offset()
    assert 0 < int.from_bytes(raw[place : place + 4], "little") < len(raw)
    raw[place : place + 4] = (2**31).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(FileError, match=r"text (at byte \d+ )?claims 2,147,483,648 bytes"):
        Trajectory(path)


@pytest.mark.parametrize("name", ["observables", "parameters", "particles/native"])
def test_data_in_the_place_of_a_group_is_not_listed(tmp_path, name):
    path = write(tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_dataset(name, 2**40, "f8", chunks=2**20)
    with pytest.raises(FileError, match=rf"run\.h5: {name} is no group; the file is damaged"):
        Trajectory(path)


def test_data_in_the_place_of_the_arrays_of_a_checkpoint_is_not_counted(tmp_path):
    path = tmp_path / "run.checkpoint"
    save_checkpoint(path, {"q": np.zeros(3)})
    with h5py.File(path, "r+") as file:
        del file["arrays"]
        file.create_dataset("arrays", 2**40, "f8", chunks=2**20)
    with pytest.raises(FileError, match=r"run\.checkpoint: arrays is no group"):
        load_checkpoint(path)


def test_what_chunks_claim_is_compared_with_what_is_stored(tmp_path):
    path = tmp_path / "arrays.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("arrays/small", data=np.ones((3, 4)), chunks=(1, 4), compression="gzip")
        file.create_dataset("arrays/large", (7, 2**33), "f4", chunks=(1, 2**26))
        file.create_dataset("arrays/pieces", 2**25, "f4", chunks=64)
    with h5py.File(path) as file:
        stored = Stored(file, "arrays", "f")
        assert stored["small"][()].sum() == 12.0
        with pytest.raises(FileError, match="arrays/large is no group"):
            Stored(file, "arrays/large", "f")
        with pytest.raises(FileError, match=r"arrays/large: got 229,380 MiB of memory for .*DYNSIM_BUDGET"):
            stored["large"]
        with pytest.raises(FileError, match=r"arrays/pieces: got 2,176 MiB of memory"):
            stored["pieces"]


def test_names_of_one_dataset_count_together(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    with TrajectoryWriter(path, neurons=1, dimension=1, observables=["energy"]) as writer:
        for k in range(1000):
            writer.write(k, float(k), [[0.0]], energy=0.0)
    with h5py.File(path, "r+") as file:
        for k in range(150):
            file[f"observables/again{k}/value"] = file["observables/energy/value"]
    assert len(Trajectory(path).observables) == 151
    monkeypatch.setenv("DYNSIM_BUDGET", str(10**6 / 2**30))  # more than any of them takes
    with pytest.raises(FileError, match="steps, times and observables: got 2 MiB of memory"):
        Trajectory(path)


@pytest.mark.parametrize("name", ["config", "results", "parameters"])
def test_the_description_of_a_model_has_a_digest(tmp_path, name):
    path = model(tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        file.attrs[name] = file.attrs[name].replace("3", "4") + " "
    for read in (dynsim.load_model, dynsim.models.describe):
        with pytest.raises(FileError, match=r"model\.h5: / is damaged \(it is not what its digest says\)"):
            read(path)


def test_an_array_of_a_model_is_named(tmp_path):
    path = model(tmp_path / "model.h5")
    flip(path, "arrays/1.places_in")
    with pytest.raises(FileError, match=r"model\.h5: /arrays/1\.places_in is damaged"):
        dynsim.load_model(path)


def test_a_damaged_checkpoint_is_a_finding_though_the_one_before_is_whole(tmp_path):
    path = write(tmp_path / "run.h5")
    with Trajectory(path) as trajectory:
        identity = trajectory.identity
    for step in range(2):
        save_checkpoint(f"{path}.checkpoint", {"step": step, "q": np.ones(50)}, run=identity)
    assert validate(path) == []
    flip(tmp_path / "run.h5.checkpoint", "arrays/0")
    (found,) = validate(path)
    assert re.search(r"^checkpoint: .*run\.h5\.checkpoint is damaged", found)
    assert load_checkpoint(f"{path}.checkpoint", run=identity)["step"] == 0


def test_a_chunk_that_a_kill_left_half_written_is_mended(tmp_path):
    from dynsim.trajectory import _chunks

    path = tmp_path / "run.h5"
    generator = np.random.default_rng(0)
    places = generator.normal(size=(100, 4, 3))
    with TrajectoryWriter(path, neurons=4, dimension=3) as writer:
        for k in range(90):
            writer.write(k, float(k), places[k])
    before = path.read_bytes()
    with h5py.File(path) as file:
        data = file["particles/native/position/value"]
        chunk = data.id.get_chunk_info_by_coord((64, 0, 0))
        start, size = chunk.byte_offset, chunk.size
    with TrajectoryWriter.append(path) as writer:
        for k in range(90, 100):
            writer.write(k, float(k), places[k])
    after = path.read_bytes()[start : start + size]
    for share in (0.1, 0.45, 0.9):  # so much of the new chunk was written, and none of what says that there is more
        cut = int(share * size)
        torn = before[:start] + after[:cut] + before[start + cut : start + size] + before[start + size :]
        path.write_bytes(torn)
        if torn != before:
            with pytest.warns(UserWarning, match="frames 64 to 89 are damaged"):
                Trajectory(path).close()
        with h5py.File(path, "r+") as file:
            assert _chunks.mend(file["particles/native/position/value"]) == (torn != before)
            assert np.array_equal(file["particles/native/position/value"][()], places[:90])
        assert validate(path) == []
        damaged = bytearray(torn)
        damaged[start + 8] ^= 1  # another damage cannot be undone
        path.write_bytes(damaged)
        with h5py.File(path, "r+") as file:
            assert not _chunks.mend(file["particles/native/position/value"])
