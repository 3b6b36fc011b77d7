"""CIFAR-10's binary files: read as their bytes say, in part or whole, and refused where they are none."""

import gzip
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from dynsim import datasets
from dynsim.cli import main
from dynsim.datasets import find, load, read_cifar10
from dynsim.errors import DataError, FileError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def records(count, seed=0):
    """Labels (count,) and bytes (count, 3072) at random."""
    generator = np.random.default_rng(seed)
    return np.arange(count, dtype=np.uint8) % 10, generator.integers(0, 256, (count, 3072), np.uint8)


def content(count, seed=0):
    labels, pixels = records(count, seed)
    return np.column_stack([labels, pixels]).tobytes()


@pytest.fixture
def folder(tmp_path):
    """cifar10 with batches 1 (packed) and 4, and 20 images for testing."""
    place = tmp_path / "cifar10"
    place.mkdir()
    (place / "data_batch_4.bin").write_bytes(content(30, seed=4))
    (place / "data_batch_1.bin.gz").write_bytes(gzip.compress(content(40, seed=1)))
    (place / "test_batch.bin").write_bytes(content(20, seed=9))
    return place


@pytest.mark.parametrize("pack", [lambda b: b, gzip.compress], ids=["plain", "gz"])
def test_a_record_is_a_label_and_planes_of_red_green_and_blue(tmp_path, pack):
    path = tmp_path / "some"
    path.write_bytes(pack(content(12)))
    images, labels = read_cifar10(path)
    expected, pixels = records(12)
    assert labels.dtype == np.int64 and images.dtype == np.uint8
    np.testing.assert_array_equal(labels, expected)
    for image, row, column in ((0, 0, 0), (3, 5, 31), (11, 31, 2)):
        at = 32 * row + column
        assert images[image, :, row, column].tolist() == pixels[image, [at, 1024 + at, 2048 + at]].tolist()


def test_files_that_are_none_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "some.bin"
    one, packed = content(1), gzip.compress(content(2))
    for data, said in (
        (b"", "got no bytes"),
        (gzip.compress(b""), "got no bytes"),
        (one[:-1], "got 3072 bytes; expected 1 to 10000 records of 3073"),
        (gzip.compress(one + b"x"), "got 3074 bytes"),
        (gzip.compress(bytes(3073 * 10_001), 1), "got more than 30730000 bytes"),
        (bytes(3073 * 10_001), "got more than 30730000 bytes"),
        (b"\x0a" + one[1:], "got the label 10; expected labels from 0 to 9"),
        (packed[:-9], "a damaged gz file"),
        (packed[:50] + b"\0\0\0" + packed[53:], "a damaged gz file"),
    ):
        path.write_bytes(data)
        with pytest.raises(DataError, match=re.escape(said)) as refused:
            read_cifar10(path)
        assert str(path) in str(refused.value)
    with pytest.raises(DataError, match="not a regular file"):
        read_cifar10(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_cifar10(tmp_path / "none.bin")
    path.write_bytes(gzip.compress(bytes(3073 * 100)))
    monkeypatch.setenv("DYNSIM_BUDGET", str(200_000 / 2**30))
    with pytest.raises(FileError, match="1 MiB of memory"):
        read_cifar10(path)


def test_a_part_is_read_and_a_note_says_so(folder, tmp_path):
    data = load("cifar10", tmp_path)
    # Batches come in the order of their numbers. Bytes / 255 are rounded once, as here.
    labels, pixels = (np.concatenate(some) for some in zip(records(40, 1), records(30, 4), strict=True))
    np.testing.assert_array_equal(data.train_images, pixels.reshape(-1, 3, 32, 32).astype(np.float32) / 255)
    np.testing.assert_array_equal(data.test_images, records(20, 9)[1].reshape(-1, 3, 32, 32).astype(np.float32) / 255)
    np.testing.assert_array_equal(data.train_labels, labels)
    np.testing.assert_array_equal(data.test_labels, records(20, 9)[0])
    assert data.train_images.dtype == np.float32 and data.class_names == CLASSES and data.classes == 10
    said = "a part of CIFAR-10, 70 of the 50,000 training images and 20 of the 10,000 test images."
    assert data.notes == (f"{folder}: {said}",)


def test_a_whole_set_has_no_note(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("dynsim.datasets._cifar_files.MOST", 20)
    for number in range(1, 6):
        (folder / f"data_batch_{number}.bin").write_bytes(content(20, number))
    (folder / "data_batch_1.bin.gz").unlink()
    data = load("cifar10", tmp_path)
    assert data.notes == () and len(data.train_images) == 100


def test_size_and_channels(folder, tmp_path):
    data = load("cifar10", tmp_path, size=(16, 16), channels=1)
    assert data.train_images.shape == (70, 1, 16, 16) and data.test_images.shape == (20, 1, 16, 16)
    assert load("cifar10", tmp_path, channels=1).test_images.shape == (20, 1, 32, 32)


def test_what_is_missing_is_named(folder, tmp_path):
    for path in folder.glob("data*"):
        path.unlink()
    with pytest.raises(DataError, match=r"lacks data_batch_1\.bin\[\.gz\].*dynsim data fetch cifar10"):
        load("cifar10", tmp_path)
    (folder / "data_batch_2.bin").write_bytes(content(2))
    (folder / "test_batch.bin").unlink()
    with pytest.raises(DataError, match=r"cifar10 lacks test_batch\.bin\[\.gz\]; run `dynsim data fetch cifar10`"):
        load("cifar10", tmp_path)


def test_found_where_the_archive_unpacks_to(folder, tmp_path):
    assert find("cifar10", tmp_path) == folder
    inside = folder / "cifar-10-batches-bin"
    inside.mkdir()
    (inside / "data_batch_1.bin").write_bytes(content(3))
    assert find("cifar10", tmp_path) == folder  # it is not whole without its test batch
    (inside / "test_batch.bin").write_bytes(content(2))
    assert find("cifar10", tmp_path) == inside
    assert len(load("cifar10", tmp_path).train_images) == 3


def test_a_set_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DYNSIM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert find("cifar10") is None and "cifar10" in datasets.NAMES
    with pytest.raises(DataError, match=r"cifar10: not found in .*dynsim data fetch cifar10.*test_batch\.bin \(gz"):
        load("cifar10")


def test_the_budget_holds_for_what_bytes_become(folder, tmp_path, monkeypatch):
    """A pixel takes 4 bytes, so 40 records of 3,073 bytes take 491,520."""
    monkeypatch.setenv("DYNSIM_BUDGET", str(400_000 / 2**30))
    with pytest.raises(FileError, match=r"data_batch_1\.bin\.gz: got 1 MiB of memory"):
        load("cifar10", tmp_path)
    monkeypatch.setenv("DYNSIM_BUDGET", str(500_000 / 2**30))
    assert len(load("cifar10", tmp_path).train_images) == 70


@pytest.mark.parametrize("model", ["compact", "mlp"])
def test_networks_are_trained_on_it(model, folder, tmp_path, capsys):
    options = ["--hidden", "8"] if model == "mlp" else []
    command = ["train", model, "--data", "cifar10", "--data-dir", tmp_path, *options, "--epochs", "1", "--batch", "10"]
    with pytest.raises(SystemExit) as stop:
        main([*map(str, command), "--json", "-o", str(tmp_path / "out")])
    said = capsys.readouterr()
    assert stop.value.code == 0, said.err
    assert "70 of the 50,000 training images" in said.err and 0 <= json.loads(said.out)["test_accuracy"] <= 100


def test_the_first_images_of_the_original():
    """The first training image is a frog, the first test image a cat, as in every other form of CIFAR-10."""
    place = os.environ.get("DYNSIM_DATA")
    if not place or find("cifar10", place) is None or Path(place) not in find("cifar10", place).parents:
        pytest.skip("needs CIFAR-10: dynsim data fetch cifar10, and $DYNSIM_DATA")
    data = load("cifar10")
    assert [data.class_names[k] for k in data.train_labels[:5]] == ["frog", "truck", "truck", "deer", "automobile"]
    assert [data.class_names[k] for k in data.test_labels[:4]] == ["cat", "ship", "ship", "airplane"]
    # The top left pixel of the frog, in the usual pictures of it.
    assert (255 * data.train_images[0, :, 0, 0]).round().tolist() == [59, 62, 63]
