"""The structure of the package: one name a file, one place for each idea, no private name read across folders."""

import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "dynsim"
FILES = sorted(PACKAGE.rglob("*.py"))
SHARED = {
    "dynsim._check",
    "dynsim._described",
    "dynsim._files",
    "dynsim._plotted",
    "dynsim._ranks",
}  # private, and for the whole package
LINES = 450
OF_PYTORCH = {"_parameters", "_buffers", "_version"}  # of its modules and tensors, and names of ours elsewhere


def name_of(path):
    return str(path.relative_to(ROOT))


@cache
def tree_of(path):
    """The syntax tree of a file, whose nodes know their parents."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.parent = node
    return tree


def parents(node):
    while (node := getattr(node, "parent", None)) is not None:
        yield node


def is_docstring(node):
    return isinstance(node.parent, ast.Expr)


def texts(path):
    """Strings of a file that are not docstrings, and the constant parts of its f-strings."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not is_docstring(node):
            yield node, node.value


def room_of(module):
    """The folder of the package that a module belongs to: `engine` of `dynsim.engine.integrators.rk4`."""
    return module.split(".")[1] if "." in module else ""


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def expect_none(found):
    found = list(found)
    assert not found, "\n".join(["", *found])


def test_every_module_has_a_name_of_its_own():
    names = {}
    for path in FILES:
        if path.stem not in ("__init__", "__main__"):
            names.setdefault(path.stem.lstrip("_"), []).append(name_of(path))
    expect_none(f"{name}: {', '.join(paths)}" for name, paths in sorted(names.items()) if len(paths) > 1)


def test_no_file_is_long():
    expect_none(f"{name_of(path)}: {count} lines" for path in FILES if (count := len(path.open().readlines())) > LINES)


def imported(path):
    """Every import of a file as (node, module, name), relative ones made absolute; name is None for `import module`."""
    package = module_of(path) if path.stem == "__init__" else module_of(path).rpartition(".")[0]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name, None
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (start, node.module) if part)
            for alias in node.names:
                yield node, module, alias.name


def is_closed(module, room):
    """Whether a module is private to another folder than `room`."""
    return (
        module.split(".")[0] == "dynsim"
        and module not in SHARED
        and room_of(module) != room
        and any(is_private(part) for part in module.split("."))
    )


def test_no_private_module_or_name_of_another_folder_is_imported():
    found = []
    for path in FILES:
        room = room_of(module_of(path))
        for node, module, name in imported(path):
            full = module if name is None else f"{module}.{name}"
            outside = module.split(".")[0] == "dynsim" and room_of(full) != room
            if module not in SHARED and full not in SHARED and outside and is_closed(full, room):
                found.append(f"{name_of(path)}:{node.lineno} imports {full}")
            elif module in SHARED and name is not None and is_private(name):
                found.append(f"{name_of(path)}:{node.lineno} imports {full}")
        for node, text in texts(path):
            if re.fullmatch(r"dynsim(\.\w+)+", text) and is_closed(text, room):
                found.append(f"{name_of(path)}:{node.lineno} names {text}")
    expect_none(found)


def defined(path):
    """Private names that a file gives to attributes: of objects, classes and the module itself."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            if isinstance(next(parents(node)), ast.Assign | ast.AnnAssign | ast.Tuple):
                yield node.id
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            if any(isinstance(parent, ast.Assign) and "__slots__" in ast.unparse(parent) for parent in parents(node)):
                yield node.value


def test_no_private_attribute_of_another_folder_is_read():
    owners = {}
    for path in FILES:
        for name in filter(is_private, defined(path)):
            owners.setdefault(name, set()).add(room_of(module_of(path)))
    found = []
    for path in FILES:
        room = room_of(module_of(path))
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.Attribute) or not is_private(node.attr):
                continue
            if room == "torch" and node.attr in OF_PYTORCH:
                continue
            rooms = owners.get(node.attr, {room})  # an attribute that no file defines is another program's
            if room not in rooms and f"dynsim.{node.attr}" not in SHARED:
                found.append(f"{name_of(path)}:{node.lineno} reads {ast.unparse(node)} of {', '.join(sorted(rooms))}")
    expect_none(found)


def spaced(expression):
    """A pattern of an expression, whatever the spaces in it."""
    parts = re.findall(r"\w+|\*\*|\S", expression)
    return re.compile(r"(?<![\w.])" + r"\s*".join(map(re.escape, parts)) + r"(?![\w(]|\s*\*\*)")


# How code says c and r, and what would be a profile of its own in such words.
C = r"(?:c|scale|\w+\.scale|numbers\[0\])"
DISTANCE = r"(?:(?:r|r2|rho|distances?)\b|(?:\w+\.)?sqrt\([^()]*\)|r2\.sqrt\(\))"
IN_CODE = [
    re.compile(rf"{C} [*/] {DISTANCE}(?: ?\*\* ?2)?"),
    re.compile(rf"(?:\w+\.)?exp\(-(?:0\.5 \* )?{DISTANCE}.*\)"),
    re.compile(r"(?:\w+\.)?exp\(.*\b(?:length|numbers\[[1-9]\]).*\)"),
]


def test_the_formula_of_a_profile_stands_in_the_table_only():
    table = PACKAGE / "kernels/_profiles.py"
    profiles = import_module("dynsim.kernels._profiles").PROFILES
    expressions = [value if isinstance(value, str) else value[0] for value in profiles.values()]
    assert len(expressions) >= 5
    patterns = [spaced(expression) for expression in expressions]
    source = table.read_text(encoding="utf-8")
    assert all(source.count(f'"{expression}"') == 1 for expression in expressions)
    found = []
    for path in FILES:
        if path == table:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if any(pattern.search(line) for pattern in patterns) and ">>>" not in line:
                found.append(f"{name_of(path)}:{number} {line.strip()}")
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.BinOp | ast.Call) and any(p.fullmatch(ast.unparse(node)) for p in IN_CODE):
                found.append(f"{name_of(path)}:{node.lineno} {ast.unparse(node)}")
    expect_none(sorted(set(found)))


def test_refusals_are_worded_in_one_file():
    expect_none(
        f"{name_of(path)}:{node.lineno} {text!r}"
        for path in FILES
        if path != PACKAGE / "_check.py"
        for node, text in texts(path)
        if re.search(r"\bgot\b", text)
    )


FORBIDDEN = {"os.replace", "os.rename", "mkstemp", "tempfile.mkstemp", "json.dump", "json.dumps", "shutil.move"}


def is_in_replacing(node):
    """Whether a call stands in the block of `with replacing(...)`, where it gets a temporary path."""
    for parent in parents(node):
        if isinstance(parent, ast.With):
            for item in parent.items:
                if isinstance(item.context_expr, ast.Call) and item.context_expr is not node:
                    if ast.unparse(item.context_expr.func).rpartition(".")[2] == "replacing":
                        return True
    return False


def test_files_are_opened_and_replaced_in_one_folder():
    found = []
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if path.parent == PACKAGE / "_files" or not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            if name in FORBIDDEN or (name in ("h5py.File", "File") and not is_in_replacing(node)):
                found.append(f"{name_of(path)}:{node.lineno} calls {name}")
    expect_none(found)


def test_no_test_waits_for_a_time():
    found = []
    for path in [ROOT / "conftest.py", *sorted((ROOT / "tests").rglob("*.py"))]:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "sleep"):
                if not isinstance(node.args[0], ast.Name):
                    found.append(f"{name_of(path)}:{node.lineno} {ast.unparse(node)}")
    expect_none(found)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("from dynsim.engine._solve import x", True),
        ("from dynsim.engine import _solve", True),
        ("import dynsim.engine._solve", True),
        ("from ..engine import _x", True),
        ("from ..engine._solve import solve", True),
        ("from .._check import as_array", False),
        ("from dynsim._files import replacing", False),
        ("from dynsim._files import _temporary", True),
        ("from ._runs import x", False),
        ("from dynsim.engine import solve", False),
        ("import_module('dynsim.engine._solve')", True),
        ("import_module('dynsim.engine')", False),
    ],
)
def test_the_search_for_imports_sees(tmp_path, monkeypatch, line, wrong):
    (tmp_path / "dynsim/cli").mkdir(parents=True)
    path = tmp_path / "dynsim/cli/plot.py"
    path.write_text(line + "\n")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    monkeypatch.setitem(globals(), "FILES", [path])
    if wrong:
        with pytest.raises(AssertionError, match=r"plot\.py:1"):
            test_no_private_module_or_name_of_another_folder_is_imported()
    else:
        test_no_private_module_or_name_of_another_folder_is_imported()
