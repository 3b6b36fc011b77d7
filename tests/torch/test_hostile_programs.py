"""Programs (.pt2) and converted files that try to run code, to read other files or to take memory are refused."""

import gzip
import json
import pickle
import zipfile

import h5py
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")

from torch import nn  # noqa: E402

from dynsim.cli import main  # noqa: E402
from dynsim.errors import DataError, FileError  # noqa: E402
from dynsim.torch import convert, load_converted, load_program, load_source, modularise, save_converted  # noqa: E402

MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.full = nn.Linear(4, 3)
        self.register_buffer("scale", torch.ones(3), persistent=False)

    def forward(self, x, factor=None):
        return self.full(x) * self.scale


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A program of any batch; its archive as {path: bytes}."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("program") / "network.pt2"
    sizes = {"x": {0: torch.export.Dim("batch", max=100)}, "factor": None}
    module = Network().eval()
    torch.export.save(torch.export.export(module, (torch.zeros(2, 4), "up"), dynamic_shapes=sizes), path)
    with zipfile.ZipFile(path) as archive:
        return module, path, {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def hostile(program, tmp_path):
    """A function that changes the entries of the program's archive and writes it anew."""
    entries = dict(program[2])

    def write(change, *arguments, more=()):
        change(entries, *arguments)
        path = tmp_path / "hostile.pt2"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in [*entries.items(), *more]:
                archive.writestr(f"network/{name}", content)
        return path

    return write


def edited(entries, entry, edit):
    tree = json.loads(entries[entry])
    edit(tree)
    entries[entry] = json.dumps(tree).encode()


def graph(tree):
    return tree["graph_module"]["graph"]


class Bomb:
    """Pickled, it makes a file when it is loaded."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (self.marker, "w")


def code(marker):
    return f"__import__('pathlib').Path({marker!r}).touch()"


def opaque_object(entries, marker):
    meta = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": False, "tensor_meta": None}
    meta["tensor_meta"] = next(iter(json.loads(entries[WEIGHTS])["config"].values()))["tensor_meta"]
    entries["data/constants/opaque_obj_0"] = pickle.dumps(Bomb(marker))
    edited(entries, CONSTANTS, lambda tree: tree["config"].update(evil=meta))


def size_expression(entries, marker):
    def edit(tree):
        sizes = graph(tree)["tensor_values"]["x"]["sizes"]
        sizes[0] = {"as_expr": {"expr_str": f"({code(marker)}, 2)[1]", "hint": None}}

    edited(entries, MODEL, edit)


def guards_on_loading(entries, marker):
    # The function of guards is made of these texts; this one ends it and goes on outside of it.
    text = f'True #\n, "")\n  return\n{code(marker)}\ndef f(*args):\n  torch._assert(True'
    edited(entries, MODEL, lambda tree: tree.update(guards_code=[text]))


def guards_when_called(entries, marker):
    edited(entries, MODEL, lambda tree: tree.update(guards_code=[f"{code(marker)} is None"]))


def any_function(entries, marker):
    def edit(tree):
        node = graph(tree)["nodes"][0]
        argument = {"name": "", "arg": {"as_string": f"touch {marker}"}, "kind": 1}
        node.update(target="torch.os.system", inputs=[argument], name=None)

    edited(entries, MODEL, edit)


def name_in_code(entries, marker):
    text = f"self.__dict__[str({code(marker)})]"
    entries[MODEL] = entries[MODEL].replace(b'"linear"', json.dumps(text).encode())


def name_of_a_weight(entries, marker):
    text = f'a" if open({marker!r}, "w") else "b'
    for entry in (MODEL, WEIGHTS):
        entries[entry] = entries[entry].replace(b'"full.weight"', json.dumps(text).encode())


def imported_module(entries, marker):
    def edit(tree):
        context = {"default_factory_module": "antigravity", "default_factory_name": "fly", "dict_context": []}
        branch = {"type": "collections.defaultdict", "context": context, "children_spec": []}
        tree["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json.dumps([1, branch])

    edited(entries, MODEL, edit)


def pickled_weight(entries, marker):
    entries["data/weights/weight_0"] = pickle.dumps(Bomb(marker))

    def edit(tree):
        for meta in tree["config"].values():
            meta.update(path_name="weight_0", use_pickle=True)

    edited(entries, WEIGHTS, edit)


def pickled_weights(entries, marker):
    entries["data/weights/model.pt"] = pickle.dumps(Bomb(marker))


def custom_object(entries, marker):
    edited(entries, CONSTANTS, lambda tree: tree["config"].update(
        evil={"path_name": "custom_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    ))  # fmt: skip
    entries["data/constants/custom_obj_0"] = pickle.dumps(Bomb(marker))


def compiled_code(entries, marker):
    entries["data/aotinductor/model/model.so"] = b"\x7fELF"


def file_as_weights(entries, marker):
    def edit(tree):
        node = graph(tree)["nodes"][0]
        arguments = [("filename", {"as_string": marker}), ("shared", {"as_bool": True}), ("size", {"as_int": 12})]
        node.update(target="torch.ops.aten.from_file.default")
        node["inputs"] = [{"name": name, "arg": arg, "kind": 1} for name, arg in arguments]

    edited(entries, MODEL, edit)


def text_in_a_guard(entries, marker):
    text = f"down' or {code(marker)} or '"
    entries[MODEL] = entries[MODEL].replace(b'"up"', json.dumps(text).encode())


def another_model(entries, marker):
    entries["models/other.json"] = entries[MODEL]


WAYS = [
    opaque_object, size_expression, guards_on_loading, guards_when_called, any_function, name_in_code, name_of_a_weight,
    imported_module, pickled_weight, pickled_weights, custom_object, compiled_code, file_as_weights, text_in_a_guard,
    another_model,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_no_code_of_a_program_runs(way, hostile, tmp_path, monkeypatch, capsys):
    import webbrowser  # opened by the module antigravity

    marker = tmp_path / "marker"
    monkeypatch.setattr(webbrowser, "open", lambda url: marker.touch())
    path = hostile(way, str(marker))
    with pytest.raises(DataError, match=r"hostile\.pt2.*: got .*; expected .*; export the network anew"):
        load_program(path)
    with pytest.raises(SystemExit) as stop:
        main(["convert", str(path), "-o", str(tmp_path / "model.h5")])
    assert stop.value.code == 1 and "expected" in capsys.readouterr().err
    assert not marker.exists() and not (tmp_path / "model.h5").exists()


@pytest.mark.parametrize("way", WAYS)
def test_no_code_of_a_converted_file_runs(way, hostile, converted, tmp_path):
    marker = tmp_path / "marker"
    bad = tmp_path / "converted.h5"
    bad.write_bytes(converted.read_bytes())
    with h5py.File(bad, "r+") as file:
        del file["program"]
        packed = gzip.compress(hostile(way, str(marker)).read_bytes())
        file.create_dataset("program", data=np.frombuffer(packed, np.uint8))
    with pytest.raises(DataError, match=r"converted\.h5.*: got .*; expected"):
        load_converted(bad)
    assert not marker.exists()


@pytest.fixture(scope="module")
def converted(program, tmp_path_factory):
    path = tmp_path_factory.mktemp("converted") / "model.h5"
    module, source = load_source(program[1])
    made, report = convert(module, dim=2, copies=2, steps=1)
    save_converted(made, path, source=source, report=report)
    return path


def test_a_sound_program_answers_as_before(program, converted):
    module, path, _ = program
    x = torch.randn(5, 4)
    assert torch.equal(modularise(load_program(path))(x, "up"), module(x))
    assert load_converted(converted)(x, "up").shape == (5, 3)


def test_example_inputs_are_not_unpickled(program, hostile, tmp_path):
    marker = tmp_path / "marker"
    sample = "data/sample_inputs/model.pt"
    path = hostile(lambda entries: entries.update({sample: pickle.dumps(Bomb(str(marker)))}))
    module = modularise(load_program(path))
    assert torch.equal(module(torch.ones(1, 4), "up"), program[0](torch.ones(1, 4)))
    assert not marker.exists()


def test_a_name_twice_is_refused(program, hostile):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = hostile(lambda entries: None, more=[(MODEL, program[2][MODEL])])
    with pytest.raises(DataError, match="a name twice"):
        load_program(path)


@pytest.mark.parametrize(
    "expression",
    [
        "Symbol('s77', positive=True, integer=True)",
        "Add(Mul(Integer(2), Symbol('s0', positive=True, integer=True)), Integer(-1))",
        "FloorDiv(Add(Symbol('s1'), Integer(1)), Integer(2))",
        "Max(Integer(1), Min(Symbol('u0'), Integer(5)))",
        "s0*2 + 1 - s1//3",
        "Pow(Symbol('s0', integer=True), Integer(2))",
    ],
)
def test_ordinary_sizes_are_allowed(expression):
    from dynsim.torch._program_grammar import expression as rule

    assert "".join(rule(expression, "size").split()) == "".join(expression.split())


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os')", "s0.__class__", "9**9**9", "Pow(Integer(9), Integer(9))", "(lambda: 0)()", "[s0]", "E",
        "s0 if s0 else 1", "Symbol('x')", "Symbol('s0', commutative=print)", "Integer('1')", "Function('f')(s0)",
        "s99999999999",
        "f's0'",
        "(" * 90 + "s0" + ")" * 90 + "+ s0" * 90, "s0 #", "s0\n", "-" * 100 + "1", 7, None, "sqrt(s0)", "Add(*s0)",
    ],
)  # fmt: skip
def test_other_expressions_are_refused(expression):
    from dynsim.torch._program_grammar import expression as rule

    allowed = {"s0 #": "s0", "s0\n": "s0"}  # what is passed on is written anew
    if expression in allowed:
        assert rule(expression, "size") == allowed[expression]
        return
    with pytest.raises(DataError, match="expected an expression of whole numbers"):
        rule(expression, "size")


def claimed_size(entries):
    def edit(tree):
        for meta in tree["config"].values():
            meta["tensor_meta"]["sizes"][0] = {"as_int": 2**40}

    edited(entries, WEIGHTS, edit)


def no_numbers(entries):
    entries["data/weights/weight_0"] = b""


def spread_by_strides(entries):
    def edit(tree):
        for meta in tree["config"].values():
            for size, stride in zip(*(meta["tensor_meta"][name] for name in ("sizes", "strides")), strict=True):
                size["as_int"], stride["as_int"] = 2**40, 0

    edited(entries, WEIGHTS, edit)


def many_symbols(entries):
    edited(
        entries, MODEL, lambda tree: tree["range_constraints"].update({"u" + "9" * 12: {"min_val": 0, "max_val": 1}})
    )


def deep_tables(entries):
    entries[MODEL] = b'{"graph_module": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"


@pytest.mark.parametrize("change", [claimed_size, no_numbers, spread_by_strides, many_symbols, deep_tables])
def test_sizes_are_compared_with_what_is_stored(change, hostile):
    with pytest.raises((DataError, FileError), match=r"hostile\.pt2"):
        load_program(hostile(change))


@pytest.mark.parametrize(
    ("entry", "key", "change", "words"),
    [
        (WEIGHTS, "full.weight", {"sizes": [2, 6], "strides": [6, 1]}, r"full\.weight is float32 \(2, 6\); expected"),
        (WEIGHTS, "full.weight", {"sizes": [12], "strides": [1]}, r"full\.weight is float32 \(12,\); expected"),
        (WEIGHTS, "full.weight", {"sizes": [3, 0], "strides": [4, 1]}, r"full\.weight is float32 \(3, 0\); expected"),
        (WEIGHTS, "full.bias", {"dtype": 6}, r"full\.bias is float16 \(3,\); expected float32 \(3,\)"),
        (CONSTANTS, "scale", {"sizes": [1], "strides": [1]}, r"scale is float32 \(1,\); expected float32 \(3,\)"),
    ],
)
def test_weights_have_the_shapes_that_the_graph_was_made_for(hostile, tmp_path, capsys, entry, key, change, words):
    def edit(tree):
        for name, value in change.items():
            numbers = [{"as_int": number} for number in value] if isinstance(value, list) else value
            tree["config"][key]["tensor_meta"][name] = numbers

    path = hostile(edited, entry, edit)
    with pytest.raises(FileError, match=rf"hostile\.pt2: {words}"):
        load_program(path)
    with pytest.raises(SystemExit) as stop:
        main(["convert", str(path), "-o", str(tmp_path / "converted.h5")])
    assert stop.value.code == 4 and "the file is damaged" in capsys.readouterr().err


def test_compressed_entries_are_refused(program, tmp_path):
    path = tmp_path / "compressed.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in program[2].items():
            archive.writestr(f"network/{name}", content)
    with pytest.raises(DataError, match="got compressed"):
        load_program(path)


def test_a_converted_file_that_grows_beyond_all_memory_is_refused(converted, tmp_path, monkeypatch):
    bad = tmp_path / "converted.h5"
    bad.write_bytes(converted.read_bytes())
    with h5py.File(bad, "r+") as file:
        del file["program"]
        file.create_dataset("program", data=np.frombuffer(gzip.compress(bytes(2**24)), np.uint8))
    monkeypatch.setattr("os.sysconf", lambda name: 2**11)
    with pytest.raises(DataError, match=r"its program: got 1 GiB; expected at most 0\.0 GiB"):
        load_converted(bad)
