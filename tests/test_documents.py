"""What the README and the docs say is run or parsed."""

import doctest
import re
import shlex
from pathlib import Path

import click
import pytest

from dynsim.cli._root import COMMANDS, root

FOLDER = Path(__file__).parent.parent
DOCUMENTS = [FOLDER / "README.md", *sorted((FOLDER / "docs").glob("*.md")), FOLDER / "experiments/README.md"]
LINES = [
    line.strip()
    for document in DOCUMENTS
    for line in document.read_text(encoding="utf-8").splitlines()
    if re.match(r"    dynsim [a-z]", line)
]


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    names = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["solution"].success and names["result"].test_accuracy > 80
    assert (tmp_path / "run.h5").exists() and (tmp_path / "model.h5").exists()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_examples_in_the_docs_hold(document):
    assert doctest.testfile(str(document), module_relative=False).failed == 0


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


def test_every_command_is_in_the_docs():
    text = (FOLDER / "docs/command-line.md").read_text(encoding="utf-8")
    assert all(f"`dynsim {name}" in text for name in COMMANDS)
