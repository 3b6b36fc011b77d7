"""Data sets of one's own in every layout, against the arrays that they were written from."""

import gzip

import numpy as np
import pytest
from PIL import Image

from dynsim import datasets
from dynsim.datasets import FILES, fit_images, load, read_images, read_picture
from dynsim.errors import DataError, FileError

SIDE, CLASSES = 6, 3


@pytest.fixture(scope="module")
def arrays():
    """Bytes: images (n, 6, 6) and labels of a part for training and one for testing."""
    generator = np.random.default_rng(0)
    found = {}
    for part, count in (("train", 36), ("test", 12)):
        found[f"x_{part}"] = generator.integers(0, 256, (count, SIDE, SIDE)).astype(np.uint8)
        found[f"y_{part}"] = (np.arange(count) % CLASSES).astype(np.uint8)
    found["x_train"][0, 0, 0] = 255  # so that tables are known to hold bytes
    return found


def expect(data, arrays, order=None):
    for part in ("train", "test"):
        images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
        order = np.argsort(labels, kind="stable")
        found = getattr(data, f"{part}_images"), getattr(data, f"{part}_labels")
        by_class = np.argsort(found[1], kind="stable")
        np.testing.assert_array_equal(found[0][by_class], np.divide(images[order][:, None], 255, dtype=np.float32))
        np.testing.assert_array_equal(found[1][by_class], labels[order])
    assert data.classes == CLASSES


def write_pictures(folder, arrays, name="{}", change=lambda image: image):
    for part in ("train", "test"):
        for number, (image, label) in enumerate(zip(arrays[f"x_{part}"], arrays[f"y_{part}"], strict=True)):
            place = folder / part / name.format(label)
            place.mkdir(parents=True, exist_ok=True)
            change(Image.fromarray(image)).save(place / f"{number:03}.png")


def write_table(path, images, labels, header=True):
    rows = [",".join(["label", *(f"pixel{k}" for k in range(SIDE**2))])] if header else []
    rows += [",".join(map(str, [label, *image.ravel()])) for image, label in zip(images, labels, strict=True)]
    path.write_text("\n".join(rows) + "\n")


def test_folders_of_classes(tmp_path, arrays):
    write_pictures(tmp_path, arrays)
    (tmp_path / "train/0/.hidden.png").write_text("no picture")
    (tmp_path / "__MACOSX").mkdir()
    counted = []
    data = load(tmp_path, progress=lambda done, total: counted.append((done, total)))
    expect(data, arrays)
    assert data.class_names == ("0", "1", "2") and data.notes == () and counted[-1] == (48, 48)


def test_folders_with_names_and_without_a_part_for_testing(tmp_path, arrays):
    write_pictures(tmp_path, arrays, "class {}")
    data = load(tmp_path / "train")
    assert data.class_names == ("class 0", "class 1", "class 2")
    assert [len(data.train_images), len(data.test_images)] == [30, 6] and "every sixth" in data.notes[0]
    assert np.bincount(data.test_labels).tolist() == [2, 2, 2]


@pytest.mark.parametrize("names", [("x_train", "y_train", "x_test", "y_test"),
                                   ("train_images", "train_labels", "test_images", "test_labels")])  # fmt: skip
@pytest.mark.parametrize("form", ["bytes", "unit", "last", "columns"])
def test_arrays_of_keras_and_medmnist(tmp_path, arrays, names, form):
    """Bytes or fractions, with channels last, and labels in a column."""
    changed = dict(zip(names, (arrays[key] for key in ("x_train", "y_train", "x_test", "y_test")), strict=True))
    for name in names[::2]:
        changed[name] = {"unit": changed[name] / np.float32(255), "last": changed[name][..., None]}.get(
            form, changed[name]
        )
    for name in names[1::2]:
        changed[name] = changed[name][:, None] if form == "columns" else changed[name]
    np.savez_compressed(tmp_path / "a.npz", **changed, val_images=np.zeros(3))
    data = load(tmp_path / "a.npz")
    expect(data, arrays)
    assert data.notes[-1].endswith("val_images: not used.")


@pytest.mark.parametrize("header", [True, False])
def test_tables(tmp_path, arrays, header):
    for part in ("train", "test"):
        write_table(tmp_path / f"{part}.csv", arrays[f"x_{part}"], arrays[f"y_{part}"], header)
    data = load(tmp_path)
    expect(data, arrays)
    assert "divided by 255" in data.notes[0]
    alone = load(tmp_path / "train.csv")
    assert [len(alone.train_images), len(alone.test_images)] == [30, 6]


def test_a_table_with_names_numbers_of_rows_and_semicolons(tmp_path):
    pixels = "\n".join(f"{k};{'cat' if k % 2 else 'dog'};{k};0;0;16" for k in range(12))
    (tmp_path / "a.csv").write_text(f"id;target;a;b;c;d\n{pixels}\n", encoding="utf-8-sig")
    data = load(tmp_path / "a.csv")
    assert data.class_names == ("cat", "dog") and data.train_images.shape == (10, 1, 2, 2)
    assert data.train_images.max() == 1 and "from 0 to 16, were divided by 16" in data.notes[0]


@pytest.mark.parametrize("inside", ["", "raw", "MNIST/raw"])
def test_the_layout_of_torchvision(tmp_path, arrays, inside):
    place = tmp_path / inside
    place.mkdir(parents=True, exist_ok=True)
    for name, key in zip(FILES, ("x_train", "y_train", "x_test", "y_test"), strict=True):
        array = arrays[key]
        sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
        content = bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
        (place / name).write_bytes(content) if "images" in name else (place / f"{name}.gz").write_bytes(
            gzip.compress(content)
        )
    expect(load(tmp_path), arrays)


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "RGBA", "LA", "1", "I;16"])
def test_pictures_of_every_kind(tmp_path, mode):
    image = np.zeros((4, 5), np.uint8)
    image[1:3, 1:4] = 255
    if mode == "I;16":
        picture = Image.fromarray(image.astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(image).convert("RGB" if mode == "P" else mode).convert(mode)
    picture.save(tmp_path / "a.png")
    found = read_picture(tmp_path / "a.png")
    assert found.shape == (1 if mode in ("L", "LA", "1", "I;16") else 3, 4, 5) and found.dtype == np.float32
    np.testing.assert_array_equal(found, np.broadcast_to(image / 255, found.shape))


def test_what_is_transparent_is_white(tmp_path):
    picture = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    picture.putpixel((1, 2), (0, 0, 0, 255))
    picture.save(tmp_path / "a.png")
    found = read_picture(tmp_path / "a.png")
    assert found[:, 2, 1].tolist() == [0, 0, 0] and found.sum() == 3 * 15


def test_a_camera_that_was_turned(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    Image.new("L", (8, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").shape == (1, 8, 4)


def test_images_keep_their_proportions():
    """A disc stays a disc: as wide as high after it got margins and was made smaller."""
    rows, columns = np.mgrid[:60, :120]
    disc = (((rows - 30) ** 2 + (columns - 60) ** 2) < 20**2).astype(np.float32)
    fitted, _ = fit_images([disc[None]], (1, 30, 30))
    sums = [fitted[0, 0].sum(axis=axis) for axis in (0, 1)]
    np.testing.assert_allclose(*sums, atol=1e-3)
    assert fitted[0, 0].sum() == pytest.approx(disc.sum() / 16, rel=1e-3)  # 60 x 120, padded to 120, becomes 30


def test_what_stands_out_is_centred():
    image = np.full((1, 50, 90), 0.9, np.float32)
    image[0, 5:25, 60:70] = 0.1
    fitted, inverted = fit_images([image], (1, 28, 28), background=0.0, centre=True)
    dark = fitted[0, 0] > 0.5
    rows, columns = (np.flatnonzero(dark.any(axis=axis)) for axis in (1, 0))
    assert inverted[0] and len(rows) == 20 and len(columns) == 10
    assert (rows[0] + rows[-1]) / 2 == (columns[0] + columns[-1]) / 2 == 13.5
    plain, _ = fit_images([np.full((1, 9, 9), 0.3)], (1, 4, 4), centre=True)
    np.testing.assert_allclose(plain, 0.3)


def test_polarity_is_guessed_from_the_border_only_where_it_is_even():
    dark, light = np.zeros((1, 8, 8)), np.ones((1, 8, 8))
    uneven = np.linspace(0, 1.2, 64).clip(0, 1).reshape(1, 8, 8)
    turned = fit_images([dark, light, uneven], (1, 8, 8), background=0.0)[1]
    assert turned.tolist() == [False, True, False]
    assert fit_images([dark, light], (1, 8, 8), background=1.0)[1].tolist() == [True, False]
    assert not fit_images([light], (1, 8, 8))[1].any()
    assert fit_images([dark], (1, 8, 8), invert="yes")[0].min() == 1


def test_sizes_and_colours_as_asked(tmp_path, arrays):
    write_pictures(tmp_path, arrays, change=lambda image: image.resize((9, 12)).convert("RGB"))
    assert load(tmp_path).train_images.shape[1:] == (3, 12, 9)
    assert load(tmp_path, size=(8, 8), channels=1).test_images.shape[1:] == (1, 8, 8)
    Image.new("L", (9, 12)).save(tmp_path / "train/0/999.png")
    with pytest.raises(DataError, match=r"999.png: got 1 channel of 12 x 9 pixels; expected 3 channels .*--grey"):
        load(tmp_path)
    assert load(tmp_path, channels=1).train_images.shape == (37, 1, 12, 9)


def test_for_a_model_classes_are_matched_by_name_and_polarity_by_most(arrays):
    images = np.ones((4, 1, 6, 6), np.float32)
    images[0] = 0
    labels = np.array([0, 1, 1, 0])
    data = datasets.Dataset(
        "mine", images, train_labels=labels, test_images=images, test_labels=labels, classes=2, class_names=("7", "3")
    )
    found = data.for_model(tuple("0123456789"), 0.0)
    assert found.test_labels.tolist() == [7, 3, 3, 7] and found.classes == 10 and "inverted" in found.notes[0]
    np.testing.assert_array_equal(found.test_images, 1 - images)
    assert data.for_model(("3", "7"), None).test_labels.tolist() == [1, 0, 0, 1]
    with pytest.raises(DataError, match=r"mine: got the class 7; expected those of the model: 3"):
        data.for_model(("3",), 0.0)


def _labels_of(labels):
    return {"x_train": np.zeros((len(labels), 4, 4), np.uint8), "y_train": np.array(labels)}


@pytest.mark.parametrize(("arrays", "message"), [
    ({"a": np.zeros(3)}, "expected x_train, y_train, x_test and y_test"),
    ({"x_train": np.zeros((3, 4, 4))}, "images without labels"),
    ({"x_train": np.zeros((3, 4)), "y_train": np.zeros(3)}, r"an array of shape \(3, 4\)"),
    ({"x_train": np.zeros((3, 4, 4)), "y_train": np.zeros(2)}, "3 images and 2 labels"),
    ({"x_train": np.full((3, 4, 4), -1.0), "y_train": np.zeros(3)}, "pixels from -1 to -1"),
    ({"x_train": np.full((3, 4, 4), np.nan), "y_train": np.zeros(3)}, "pixels from nan"),
    ({"x_train": np.zeros((3, 4, 4), complex), "y_train": np.zeros(3)}, "pixels of type complex128"),
    (_labels_of([0.5] * 12), "labels of type float64"),
    (_labels_of([-1] * 12), "labels of type int64"),
    (_labels_of([0, 5000]), "the label 5000"),
    (_labels_of([0, 1, 0]), "fewer than 6 of each class"),
    ({"x_train": np.zeros((0, 4, 4)), "y_train": np.zeros(0)}, "no images"),
    ({"x_train": np.array([{}]), "y_train": np.zeros(1)}, "Python objects"),
])  # fmt: skip
def test_arrays_that_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "a.npz")


@pytest.mark.parametrize(("text", "message"), [
    ("label,a,b\n1,2,3\n", "2 columns of pixels"),
    ("1,2,3,4,5,6,7\n", "7 columns of pixels"),
    ("label,a,b,c,d\n", "no rows"),
    ("label,a,b,c,d\n1,2,3,4\n", "is no table of pixels"),
    ("label,a,b,c,d\n1,2,x,4,5\n", "is no table of pixels"),
    ("label,a,b,c,d\n1,2,nan,4,5\n", "a pixel that is not finite in image 0"),
    ("label,a,b,c,d\n1,2,70000,4,5\n", "pixels from 2 to 70000"),
    ("", "0 columns of pixels"),
])  # fmt: skip
def test_tables_that_are_refused(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "a.csv")


def test_what_is_no_data_set(tmp_path):
    with pytest.raises(ValueError, match="'nowhere'; expected one of digits"):
        load("nowhere")
    with pytest.raises(DataError, match="got none; expected a folder for each class"):
        load(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.png").write_text("no picture")
    with pytest.raises(DataError, match="got no picture"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"expected a folder of a folder for each class, \.npz or \.csv"):
        load(tmp_path / "a/b.png")


def test_a_small_file_does_not_take_much_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("DYNSIM_BUDGET", "0.001")
    Image.new("L", (3000, 3000)).save(tmp_path / "large.png")
    with pytest.raises(FileError, match="103 MiB of memory"):
        read_picture(tmp_path / "large.png")
    np.savez_compressed(tmp_path / "a.npz", x_train=np.zeros((100, 200, 200), np.uint8), y_train=np.zeros(100, int))
    with pytest.raises(FileError, match="x_train: got 16 MiB of memory"):
        load(tmp_path / "a.npz")


def test_images_to_be_recognised(tmp_path, arrays):
    np.save(tmp_path / "many.npy", arrays["x_test"])
    np.save(tmp_path / "one.npy", np.asfortranarray(arrays["x_test"][0] / 255))
    write_table(tmp_path / "a.csv", arrays["x_test"], arrays["y_test"])
    Image.fromarray(arrays["x_test"][0]).save(tmp_path / "one.png")
    for name, count in (("many.npy", 12), ("one.npy", 1), ("a.csv", 12), ("one.png", 1), (".", 1)):
        found = list(read_images(tmp_path / name))
        assert len(found) == count
        np.testing.assert_allclose(found[0][1][0], arrays["x_test"][0] / 255, atol=1e-6)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no pictures"):
        list(read_images(tmp_path / "empty"))
