"""What the README and the docs say is run: every command, every example; every link leads somewhere.

Each document's indented `    dynsim ...` lines are run in order, in a folder of its own that holds `experiments/`,
three small files (run.h5, model.h5, training.h5) and a few pictures (my-pictures, new, my-images.npz, my-table.csv).
Heavy lines are made small: the data sets are a few random images under the names mnist, fashion-mnist and kmnist,
`--epochs` is capped, the experiments have one row and one seed.

A comment behind a line says what else is to be expected: `# exit code 3`; `# takes minutes`, run with -m bench;
`# downloads`, run with -m network; `# needs onnx`, left out where that package or program is not installed. What a
line sends into a file (`> FILE`, `>> FILE`) is sent there. Lines with placeholders in capitals (FILE, NAME) are forms,
not commands; they are parsed only.
"""

import contextlib
import doctest
import gzip
import re
import shlex
import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

import dynsim
from dynsim.cli import main
from dynsim.cli._root import root
from dynsim.datasets import FILES, load

FOLDER = Path(__file__).parent.parent
DOCUMENTS = [FOLDER / "README.md", *sorted((FOLDER / "docs").rglob("*.md")), *(FOLDER / "experiments").glob("*.md")]
COMMANDS = root.list_commands(click.Context(root))
EPOCHS = 2
ROW = {"copies": 2, "copies_fc": 2, "copies_conv": 2}


def lines_of(document):
    return [
        line.strip()
        for line in document.read_text(encoding="utf-8").splitlines()
        if re.match(r"    dynsim [a-z]", line)
    ]


def name_of(document):
    return str(document.relative_to(FOLDER))


LINES = sorted({line for document in DOCUMENTS for line in lines_of(document)})
WITH_COMMANDS = [document for document in DOCUMENTS if lines_of(document)]


def is_form(line):
    words = line.partition("#")[0]
    return "..." in words or any(re.fullmatch("[A-Z]{3,}", part) for part in re.split(r"[\s=|.:\[\]]+", words))


def slow(line):
    return "# takes minutes" in line or line.startswith("dynsim bench")


def is_tour(line):
    # tests/cli/test_demo.py looks at what it leaves, and .ci/run begins and ends with it.
    return line.startswith("dynsim demo")


def missing(line):
    """Packages and programs that a line needs and that are not installed."""
    names = re.search(r"# needs ([\w ]+)", line)
    return [name for name in names[1].split() if not (find_spec(name) or shutil.which(name))] if names else []


def downloads(line):
    return "# downloads" in line or line.startswith("dynsim data fetch")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Data sets of random images with the names of the large ones."""
    folder, generator = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name in ("mnist", "fashion-mnist", "kmnist"):
        (folder / name).mkdir()
        for file, count in zip(FILES, (300, 300, 60, 60), strict=True):
            labels = "labels" in file
            shape = (count,) if labels else (count, 28, 28)
            header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
            content = (
                (np.arange(count) % 10).astype(np.uint8) if labels else generator.integers(0, 256, shape, np.uint8)
            )
            (folder / name / f"{file}.gz").write_bytes(gzip.compress(header + content.tobytes()))
    return folder


@pytest.fixture(scope="module")
def stage(tmp_path_factory, data):
    """The folder that every document's own begins as."""
    folder = tmp_path_factory.mktemp("stage")
    (folder / "experiments").mkdir()
    for recipe in [*(FOLDER / "experiments").glob("*.toml"), *(FOLDER / "dynsim/experiments/recipes").glob("*.toml")]:
        (folder / "experiments" / recipe.name).write_text(small(recipe.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        call("dynsim simulate --preset pulse --until 1 -o run.h5")
        call("dynsim train mlp --data digits --hidden 8 --epochs 1 -o made")
    shutil.move(folder / "made/model.h5", folder / "model.h5")
    shutil.move(folder / "made/training.h5", folder / "training.h5")
    shutil.rmtree(folder / "made")
    draw_pictures(folder)
    if find_spec("torch"):
        convert_network(folder / "net.h5")
    return folder


def draw_pictures(folder):
    """A few embedded digits as pictures, dark on white, as arrays and as a table."""
    digits = load("digits")
    arrays = {}
    for part, images, labels in (
        ("train", digits.train_images[:200, 0], digits.train_labels[:200]),
        ("test", digits.test_images[:50, 0], digits.test_labels[:50]),
    ):
        arrays |= {f"x_{part}": np.rint(255 * images).astype(np.uint8), f"y_{part}": labels}
    np.savez(folder / "my-images.npz", **arrays)
    rows = np.column_stack([arrays["y_train"], arrays["x_train"].reshape(200, 64)])
    header = ",".join(["label", *(f"pixel{k}" for k in range(64))])
    np.savetxt(folder / "my-table.csv", rows, fmt="%d", delimiter=",", header=header, comments="")
    paths = [folder / f"my-pictures/{label}/{k}.png" for k, label in enumerate(arrays["y_train"])]
    paths += [folder / f"new/{label}.png" for label in arrays["y_test"]]
    for path, image in zip(paths, [*arrays["x_train"], *arrays["x_test"]], strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - image).resize((40, 40)).convert("RGB").save(path)


def convert_network(path):
    """A small converted network for images of 28 x 28."""
    import torch

    from dynsim.torch import convert, load_source, save_converted

    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    program = path.with_suffix(".pt2")
    torch.export.save(torch.export.export(net, (torch.zeros(2, 1, 28, 28),)), program)
    module, source = load_source(program)
    made, report = convert(module, copies=2, dim=2, steps=2)
    save_converted(made, path, source=source, report=report)


def small(recipe):
    """A recipe with one seed, one row, few epochs and short fits."""
    first, *rows = recipe.split("[[rows]]")
    for pattern, value in (
        (r"^seeds = .*$", "seeds = [0]"),
        (r"^epochs = \d+", "epochs = 1"),
        (r"^batch = \d+", "batch = 50"),
        (r"^fit_steps = \d+", "fit_steps = 5"),
        (r"^fit_images = \d+", "fit_images = 20"),
        (r"^draws = \d+", "draws = 2"),
        (r"^widths = .*$", "widths = [784, 12, 10]"),
    ):
        first = re.sub(pattern, value, first, flags=re.MULTILINE)
    return first + "".join(f"[[rows]]{row}" for row in rows[:1])


def call(line):
    """Run one line as a user would; checks its exit code."""
    words = shlex.split(line, comments=True)[1:]
    for position, word in enumerate(words[:-1]):
        if word == "--epochs":
            words[position + 1] = str(min(int(words[position + 1]), EPOCHS))
        if word == "--batch":
            words[position + 1] = str(min(int(words[position + 1]), 64))
    expected, file = re.search(r"# exit code (\d+)", line), None
    if len(words) > 2 and words[-2] in (">", ">>"):
        *words, sign, file = words
    with contextlib.ExitStack() as stack, pytest.raises(SystemExit) as stop:
        if file is not None:
            stack.enter_context(
                contextlib.redirect_stdout(
                    stack.enter_context(open(file, "a" if sign == ">>" else "w", encoding="utf-8"))
                )
            )
        main(words)
    assert stop.value.code == (int(expected[1]) if expected else 0), line


def run_document(document, lines, stage, data, tmp_path, monkeypatch):
    folder = tmp_path / "here"
    shutil.copytree(stage, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DYNSIM_DATA", str(data))
    for line in lines:
        call(line)


@pytest.mark.parametrize("document", WITH_COMMANDS, ids=name_of)
def test_the_documents_commands_run(document, stage, data, tmp_path, monkeypatch, capsys):
    lines = [
        line for line in lines_of(document) if not (slow(line) or is_tour(line) or downloads(line) or is_form(line))
    ]
    absent = sorted({name for line in lines for name in missing(line)})
    run_document(document, [line for line in lines if not missing(line)], stage, data, tmp_path, monkeypatch)
    if absent:
        pytest.skip(f"all lines ran but those that need {', '.join(absent)}")


# What the benchmarks do is tested at small sizes in tests/benchmarks; here are the sizes that are worth timing.
@pytest.mark.bench
@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in LINES if slow(line)])
def test_commands_that_take_minutes_run(line, stage, data, tmp_path, monkeypatch, capsys):
    if line.startswith("dynsim bench"):
        line = re.sub(r" --rounds \d+| --full|#.*", "", line) + " --rounds 1"
    run_document(None, [line], stage, data, tmp_path, monkeypatch)


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in LINES if downloads(line)])
def test_commands_that_download_run(line, stage, tmp_path, monkeypatch, capsys):
    run_document(None, [line], stage, tmp_path / "empty", tmp_path, monkeypatch)


@pytest.mark.parametrize("line", LINES)
def test_command_lines_are_understood(line):
    words = shlex.split(line, comments=True)[1:]
    command = root
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(root), words.pop(0))
    for word in [word for word in words if word.startswith("-") and not re.match(r"-[\d.]", word)]:
        options = [name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)]
        assert word.partition("=")[0] in options
    for word in [word for word in words if word.startswith("experiments/")]:
        assert (FOLDER / word).is_file()


def test_the_readmes_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    (block,), (printed,) = (re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL) for kind in ("python", "text"))
    assert len([line for line in block.splitlines() if line and "import" not in line]) <= 10
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    numbers = r"\d+\.?\d*"  # their last digits depend on the processor
    assert re.sub(numbers, "#", capsys.readouterr().out) == re.sub(numbers, "#", printed)
    assert names["solution"].success and names["result"].test_accuracy > 80
    assert (tmp_path / "run.h5").exists()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_examples_in_the_docs_hold(document):
    if "sklearn" in document.read_text(encoding="utf-8"):
        pytest.importorskip("sklearn.callback", reason="this document's examples need scikit-learn 1.9 or later")
    assert doctest.testfile(str(document), module_relative=False).failed == 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if "reference" in file.parts:  # made from the docstrings when the site is built: the name must be there
            room, _, name = anchor.removeprefix("dynsim.").partition(".")
            assert file.stem == room and hasattr(import_module(f"dynsim.{room}"), name), target
            continue
        assert file.exists(), f"{target} in {document.name}"
        if anchor and file.suffix == ".md":
            content = file.read_text(encoding="utf-8")
            headings = [
                re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-")
                for h in re.findall(r"^#+ (.*)$", content, re.MULTILINE)
            ]
            assert anchor in headings or f'id="{anchor}"' in content, f"{target} in {document.name}"


def test_every_file_of_the_results_is_shown():
    linked = set()
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)\s#]+)", document.read_text(encoding="utf-8")):
            linked.add((document.parent / target).resolve())
    files = {path for path in (FOLDER / "docs/results").rglob("*") if path.is_file()}
    assert files <= linked, sorted(map(name_of, files - linked))


def test_every_command_is_in_the_docs():
    text = (FOLDER / "docs/command-line.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `dynsim ([a-z]+)", text, re.MULTILINE)) <= set(COMMANDS)
    assert ":command: root" in text  # the reference of all commands and options is made from the commands
    for name in COMMANDS:
        # A help text ends with examples that begin with the command's name.
        command = root.get_command(click.Context(root), name)
        assert re.search(rf"^ *dynsim {name}\b", command.help, re.MULTILINE), name


def test_citation_and_changelog_are_true():
    citation = (FOLDER / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {dynsim.__version__}\n" in citation
    # The section of what comes, then the released versions with their dates, the newest first.
    changes = (FOLDER / "CHANGELOG.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.*)$", changes, re.MULTILINE)
    assert titles[0] == "Unreleased"
    released = [re.fullmatch(r"(\d+\.\d+\.\d+) \((\d{4}-\d\d-\d\d)\)", title) for title in titles[1:]]
    assert all(released) and released[0][1] == dynsim.__version__
    assert f"date-released: {released[0][2]}\n" in citation
