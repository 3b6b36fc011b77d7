"""What a program of torch.export may say: a grammar of its JSON, without anything that PyTorch would execute.

torch.export.load evaluates expressions of sizes as Python, writes names into code that it compiles, looks operators up
by dotted names from the module `torch` and imports modules that a tree of arguments names. A rule here takes a value
and its place, and returns the value that PyTorch is given: what no rule allows is refused, what is only a remark left
out.
"""

from __future__ import annotations

import ast
import re

import torch

from dynsim._check import describe, refusal
from dynsim._files import from_json, to_json
from dynsim.errors import DataError

REMEDY = "export the network anew, made of plain PyTorch layers, with torch.export.save"
LONGEST = 10_000  # characters of an expression or a tree of arguments
DEEPEST = 40  # levels of the same
# Names become code, and a symbol's number a count of loops.
NAME = r"[A-Za-z_]\w{0,199}"
PATH = r"(?!.*(?:^|\.)__)\w{1,200}(?:\.\w{1,200}){0,50}"
SYMBOL = r"(?:s|u|ps|zf|zuf)\d{1,6}"
TEXT = r"[\w ,.>|/-]{0,200}"
SIZES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 9: 4, 10: 8, 11: 16, 12: 1, 13: 2, 28: 2, 29: 1, 30: 1, 31: 1,
    32: 1, 33: 1, 34: 4, 35: 8,
}  # fmt: skip
"""Bytes of one number of each type that PyTorch's files number."""

FUNCTIONS = set(
    "Add Mul FloorDiv CleanDiv CeilDiv Max Min max min Mod PythonMod ModularIndexing IntTrueDiv FloatTrueDiv ToFloat "
    "TruncToInt FloorToInt CeilToInt Equality Unequality StrictLessThan LessThan StrictGreaterThan GreaterThan "
    "And Or Not Eq Ne Lt Le Gt Ge".split()
)
SYMBOLIC = {
    f"_operator.{name}" for name in "add sub mul floordiv mod truediv neg pos eq ne lt le gt ge and_ or_".split()
}
SYMBOLIC |= {f"torch.sym_{name}" for name in "int float max min not ite".split()} | {"math.trunc"}
HIGHER = {f"torch.ops.higher_order.{name}" for name in ("wrap_with_set_grad_enabled", "wrap_with_autocast", "cond")}
OPERATOR = re.compile(r"torch\.ops\.aten\.([A-Za-z_]\w*)\.([A-Za-z_]\w*)", re.ASCII)
# Texts that an operator computes with; others name files, for example.
TEXTS = set("padding approximate rounding_mode reduce equation indexing ord mode driver padding_mode UPLO".split())
TREES = {"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}


def refused(where, value, expected):
    """Return the error that refuses a value of a program."""
    return refusal(where, describe(value), expected, REMEDY, error=DataError)


def text(pattern, expected):
    """A rule for texts of a pattern."""
    compiled = re.compile(pattern, re.ASCII)

    def rule(value, where):
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise refused(where, value, expected)
        return value

    return rule


def whole(value, where):
    """A rule for whole numbers of 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise refused(where, value, "a whole number of 64 bits")
    return value


def number(value, where):
    """A rule for numbers; those that are not finite are texts."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        if value not in ("Infinity", "-Infinity", "NaN"):
            raise refused(where, value, "a number")
    elif value != value or abs(value) > 1.8e308:
        raise refused(where, value, "a finite number")
    return value


def flag(value, where):
    """A rule for true and false."""
    if not isinstance(value, bool):
        raise refused(where, value, "true or false")
    return value


def listing(rule):
    """A rule for lists."""

    def checked(value, where):
        if not isinstance(value, list):
            raise refused(where, value, "a list")
        return [rule(item, f"{where}[{k}]") for k, item in enumerate(value)]

    return checked


def mapping(key, rule):
    """A rule for tables of any keys."""

    def checked(value, where):
        if not isinstance(value, dict):
            raise refused(where, value, "a table")
        return {key(name, where): rule(item, f"{where}.{name}") for name, item in value.items()}

    return checked


def record(**rules):
    """A rule for tables of known keys, of which some may be missing."""

    def checked(value, where):
        if not isinstance(value, dict):
            raise refused(where, value, f"a table with some of {', '.join(rules)}")
        for name in value:
            if name not in rules:
                raise refused(where, name, f"one of the keys {', '.join(rules)}")
        return {name: rules[name](item, f"{where}.{name}") for name, item in value.items()}

    return checked


def union(**rules):
    """A rule for tables of one key."""
    one = record(**rules)

    def checked(value, where):
        if isinstance(value, dict) and len(value) != 1:
            raise refused(where, value, "a table of one key")
        return one(value, where)

    return checked


def optional(rule):
    """A rule for a value that may be null."""
    return lambda value, where: None if value is None else rule(value, where)


def empty(value, where):
    """A rule for what PyTorch would execute or unpickle: there is none."""
    if value:
        raise refused(where, value, "nothing, since PyTorch would run code for it")
    return value


def guards(value, where):
    """A rule for conditions on the inputs, which are Python: there are none."""
    if value:
        do = f"{REMEDY}, with fixed sizes of all axes but the batch"
        raise refusal(where, describe(value), "no guards, since PyTorch would execute them", do, error=DataError)
    return []


def remark(value, where):
    """A rule for what only describes: PyTorch is not given it."""
    return {}


def expression(value, where):
    """A rule for sizes as Python: whole numbers, symbols, + - * //, the smallest, the largest and comparisons."""
    expected = "an expression of whole numbers, symbols, + - * // and Max or Min"
    if not isinstance(value, str) or len(value) > LONGEST:
        raise refused(where, value, expected)
    try:
        tree = ast.parse(value.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        tree = None
    if tree is None or not _is_expression(tree, DEEPEST):
        raise refused(where, value, expected)
    return ast.unparse(tree)


def _is_expression(node, levels):
    if levels == 0:
        return False
    match node:
        case ast.Constant(value=bool()):
            return True
        case ast.Constant(value=int(digits)):
            return abs(digits) < 2**63
        case ast.Name(id=name):
            return bool(re.fullmatch(SYMBOL + "|true|false", name, re.ASCII))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _is_expression(operand, levels - 1)
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.FloorDiv(), left=left, right=right):
            return _is_expression(left, levels - 1) and _is_expression(right, levels - 1)
        case ast.Call(func=ast.Name(id="Symbol"), args=[ast.Constant(value=str(name))], keywords=assumptions):
            known = all(isinstance(a.value, ast.Constant) and isinstance(a.value.value, bool) for a in assumptions)
            return known and bool(re.fullmatch(SYMBOL, name, re.ASCII))
        case ast.Call(func=ast.Name(id="Integer"), args=[value], keywords=[]):
            return isinstance(value, ast.Constant | ast.UnaryOp) and _is_expression(value, levels - 1)
        case ast.Call(func=ast.Name(id="Pow"), args=[base, ast.Call(func=ast.Name(id="Integer"), args=[power])]):
            small = isinstance(power, ast.Constant) and power.value in range(1, 9)
            return small and ast.unparse(base).startswith("Symbol(") and _is_expression(base, levels - 1)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return name in FUNCTIONS and all(_is_expression(one, levels - 1) for one in arguments)
    return False


def operator(value, where):
    """A rule for what a node computes: operators of PyTorch itself, and arithmetic of sizes."""
    expected = "an operator of torch.ops.aten"
    if value in SYMBOLIC or value in HIGHER:
        return value
    found = OPERATOR.fullmatch(value) if isinstance(value, str) else None
    made = getattr(getattr(torch.ops.aten, found[1], None), found[2], None) if found else None
    if not isinstance(made, torch._ops.OpOverload):
        raise refused(where, value, expected)
    for argument in made._schema.arguments:
        if "str" in str(argument.type) and argument.name not in TEXTS:
            raise refused(where, value, f"{expected} without a text {argument.name}")
    return value


def tree(value, where):
    """A rule for the tree of arguments or results, a text of JSON that names types."""
    expected = f"a tree of {', '.join(sorted(TREES))}"
    if not isinstance(value, str) or len(value) > LONGEST:
        raise refused(where, value, expected)
    parts = from_json(value, where)
    if not isinstance(parts, list) or len(parts) != 2 or parts[0] != 1:
        raise refused(where, value, expected)
    return to_json([1, _branch(parts[1], where, DEEPEST)])


def _branch(value, where, levels):
    if not isinstance(value, dict) or set(value) != {"type", "context", "children_spec"} or levels == 0:
        raise refused(where, value, "tables of type, context and children_spec")
    kind, context = value["type"], value["context"]
    children = listing(lambda item, place: _branch(item, place, levels - 1))(value["children_spec"], where)
    if kind is None:
        context = empty(context, where)
    elif kind not in TREES or not isinstance(context, str):
        raise refused(where, kind, f"one of {', '.join(sorted(TREES))}")
    else:
        keys = from_json(context, where)
        context = to_json(None if keys is None else listing(_key)(keys, where))
    return {"type": kind, "context": context, "children_spec": children}


def _key(value, where):
    return whole(value, where) if isinstance(value, int) else text(TEXT, "a name")(value, where)


name = text(NAME, "a name of letters, digits and _")
path = text(PATH, "names of letters, digits and _ with dots between them")
anything = text(r"[\w .:+<>=/@-]{0,200}", "a short text")
device = record(type=text("cpu|cuda|mps|xpu|meta", "cpu, cuda, mps, xpu or meta"), index=optional(whole))
_hint = optional(union(as_int=whole, as_bool=flag, as_float=number))
_formula = record(expr_str=expression, hint=_hint)
_symbolic_whole = union(as_expr=_formula, as_int=whole)
_symbolic_number = union(as_expr=_formula, as_float=number)
_symbolic_flag = union(as_expr=_formula, as_bool=flag)


def _tensor_meta(size):
    return record(
        dtype=whole, sizes=listing(size), requires_grad=flag, device=device, strides=listing(size),
        storage_offset=size, layout=whole,
    )  # fmt: skip


_tensor = record(name=name)
_whole_argument = union(as_name=name, as_int=whole)
_number_argument = union(as_name=name, as_float=number)
_flag_argument = union(as_name=name, as_bool=flag)
_optional_tensor = union(as_tensor=_tensor, as_none=flag)
argument = union(
    as_none=flag, as_tensor=_tensor, as_tensors=listing(_tensor), as_int=whole, as_ints=listing(whole),
    as_float=number, as_floats=listing(number), as_string=text(TEXT, "a short text"), as_sym_int=_whole_argument,
    as_sym_ints=listing(_whole_argument), as_scalar_type=whole, as_memory_format=whole, as_layout=whole,
    as_device=device, as_bool=flag, as_bools=listing(flag), as_sym_bool=_flag_argument,
    as_sym_bools=listing(_flag_argument), as_graph=record(name=name, graph=lambda value, where: graph(value, where)),
    as_optional_tensors=listing(_optional_tensor), as_sym_float=_number_argument,
    as_sym_floats=listing(_number_argument), as_optional_tensor=_optional_tensor,
    as_complex=record(real=number, imag=number), as_nested_tensors=listing(listing(_tensor)),
    as_int_lists=listing(listing(whole)), as_float_lists=listing(listing(number)),
)  # fmt: skip
_named = record(name=text(f"(?:{NAME})?", "a name of letters, digits and _"), arg=argument, kind=optional(whole))
_node = record(
    target=operator, inputs=listing(_named), outputs=listing(argument), metadata=remark,
    is_hop_single_tensor_return=optional(flag), name=optional(name),
)  # fmt: skip
graph = record(
    inputs=listing(argument), outputs=listing(argument), nodes=listing(_node),
    tensor_values=mapping(name, _tensor_meta(_symbolic_whole)), sym_int_values=mapping(name, _symbolic_whole),
    sym_bool_values=mapping(name, _symbolic_flag), sym_float_values=mapping(name, _symbolic_number),
    is_single_tensor_return=flag, custom_obj_values=empty,
)  # fmt: skip
_constant = union(as_none=flag, as_int=whole, as_float=number, as_string=text(TEXT, "a short text"), as_bool=flag)
_inputs = union(
    user_input=record(arg=argument), parameter=record(arg=_tensor, parameter_name=path),
    buffer=record(arg=_tensor, buffer_name=path, persistent=flag),
    tensor_constant=record(arg=_tensor, tensor_constant_name=path),
    constant_input=record(name=name, value=_constant),
)  # fmt: skip
_outputs = union(
    user_output=record(arg=argument), loss_output=record(arg=_tensor),
    buffer_mutation=record(arg=_tensor, buffer_name=path),
    parameter_mutation=record(arg=_tensor, parameter_name=path),
    user_input_mutation=record(arg=_tensor, user_input_name=name),
)  # fmt: skip
_call = record(
    inputs=listing(argument), outputs=listing(argument), in_spec=tree, out_spec=tree,
    forward_arg_names=optional(listing(name)),
)  # fmt: skip
program = record(
    graph_module=record(
        graph=graph, signature=record(input_specs=listing(_inputs), output_specs=listing(_outputs)),
        module_call_graph=listing(record(fqn=text(r"[\w.@]{0,500}", "a name"), signature=optional(_call))),
        metadata=remark, treespec_namedtuple_fields=empty,
    ),
    opset_version=mapping(anything, whole),
    range_constraints=mapping(text(SYMBOL, "a symbol"), record(min_val=optional(whole), max_val=optional(whole))),
    schema_version=record(major=whole, minor=whole), verifiers=listing(anything), torch_version=anything,
    guards_code=guards,
)  # fmt: skip


def _static_size(value, where):
    size = union(as_int=whole)(value, where)
    if size["as_int"] < 0:
        raise refused(where, size["as_int"], "a size")
    return size


def payload(prefix):
    """A rule for the table that says in which entry, `prefix` and a number, the numbers of every tensor are."""
    one = record(
        path_name=text(rf"{prefix}\d{{1,9}}", f"{prefix} and a number, which holds plain numbers"),
        is_param=flag, use_pickle=empty, tensor_meta=_tensor_meta(_static_size),
    )  # fmt: skip
    return record(config=mapping(path, one))
