"""What MkDocs does for this site besides its plugins: formulas, the Python reference, examples in commands' help."""

import ast
import inspect
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import click
import griffe
import jupytext
from latex2mathml.converter import convert
from mkdocs.structure.files import File

# Rooms of the package in the order of the reference.
ROOMS = (
    *("kernels", "engine", "layers", "models", "learning", "trajectory", "datasets", "plots", "export", "torch"),
    *("sklearn", "experiments", "benchmarks", "errors"),
)


def on_config(config):
    """Formulas in ```math fences become MathML."""
    fences = [{"name": "math", "class": "math", "format": formula}]
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = fences
    examples_as_code()
    return config


def on_post_build(config):
    """The theme's script knows hosts for what this site does not use (diagrams, old browsers): not even those."""
    for script in Path(config.site_dir, "assets/javascripts").glob("*.js"):
        script.write_text(
            re.sub(r"https://[\w.]+/(?:mermaid|iframe-worker)[\w@./-]*", "", script.read_text("utf-8")), "utf-8"
        )


def formula(source, language, css_class, options, markdown, **kwargs):
    """One displayed formula."""
    return f'<div class="math">{primes(convert(source, display="block"))}</div>'


def primes(mathml):
    """Primes at their letter: in fonts of text the sign is raised as it is, and would float as a superscript.

    >>> primes("<msubsup><mi>q</mi><mi>i</mi><mi>&#x02032;</mi></msubsup>")
    '<msub><mrow><mi>q</mi><mo lspace="0" rspace="0">&#x02032;</mo></mrow><mi>i</mi></msub>'
    """
    prime = '<mo lspace="0" rspace="0">&#x02032;</mo>'
    one = r"(<mi>[^<]*</mi>)"
    mathml = re.sub(
        rf"<msubsup>{one}{one}<mi>&#x02032;</mi></msubsup>", rf"<msub><mrow>\1{prime}</mrow>\2</msub>", mathml
    )
    return re.sub(rf"<msup>{one}<mi>&#x02032;</mi></msup>", rf"<mrow>\1{prime}</mrow>", mathml)


def on_files(files, config):
    """Write a page of the reference for every room."""
    for name in ("README.md", "CONTRIBUTING.md", "CITATION.cff"):  # the first page is the README
        content = Path(name).read_text("utf-8").replace("](docs/", "](")
        files.append(File.generated(config, "index.md" if name == "README.md" else name, content=content))
    for path in sorted(Path("docs/gallery").glob("*.py")):
        files.append(File.generated(config, f"gallery/{path.stem}.ipynb", content=notebook(path.read_text("utf-8"))))
    pages = {"index": index()} | {room: page(room) for room in ROOMS}
    for name, content in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def notebook(program):
    """A program in cells as a notebook, without what differs from one build to the next.

    >>> notebook("# %% [markdown]\\n# # A title\\n\\n# %%\\nprint(1)\\n").count("cell_type")
    2
    """
    found = jupytext.reads(program, fmt="py:percent")
    for number, cell in enumerate(found.cells):
        cell["id"] = f"cell-{number}"
    found.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return jupytext.writes(found, fmt="ipynb")


def on_page_markdown(markdown, page, config, files):
    """Beside each program of the gallery stands its notebook."""
    if page.file.src_uri != "gallery/index.md":
        return markdown
    return re.sub(r"\[(\w+)\.py\]\(\1\.py\)", r"[\1.py](\1.py) · [notebook](\1.ipynb)", markdown)


def index():
    """All public names on one page."""
    lines = [
        "# Python reference",
        "",
        "`import dynsim` loads nothing heavy; what is named here is loaded when it is used.",
    ]
    lines += ["", "Shapes, units, errors and an example stand with every name; every example is run by the tests.", ""]
    top = ast.literal_eval(str(package()["_FROM"].value))  # {name: its room}
    lines += ["| `dynsim.` | is |", "|---|---|"]
    lines += [f"| `{name}` | [`dynsim.{room}.{name}`]({room}.md#dynsim.{room}.{name}) |" for name, room in top.items()]
    for room in ROOMS:
        lines += ["", f"## [dynsim.{room}]({room}.md) {{#{room}}}", "", first_sentence(package()[room]), ""]
        links = [f"[`{name}`]({room}.md#dynsim.{room}.{name})" for name, _ in members(room)]
        lines.append(" · ".join(links))
    return "\n".join(lines) + "\n"


# What people use first, room by room; what is not named follows.
FIRST = {
    "kernels": ("Kernel", "pair_sum", "pair_matrix", "pair_force", "weight_free"),
    "engine": ("System", "Operators", "Solution", "configure", "echo_gain", "solve"),
    "layers": ("Full", "Conv", "Attention", "Layer"),
    "trajectory": ("solve", "Trajectory", "resume", "validate", "to_extxyz"),
    "models": ("mlp", "lenet5", "vit", "Model", "load_model"),
    "learning": ("train", "evaluate", "fit", "TrainingResult"),
    "datasets": ("load", "Dataset", "fetch"),
    "plots": ("plot", "animate", "view", "KINDS"),
    "export": ("load_model", "verify"),
    "torch": ("convert", "finetune", "materialize", "Report", "load_converted"),
}


@cache
def package():
    """The package as its source says: what it needs besides, PyTorch for one, need not be installed."""
    return griffe.load("dynsim", search_paths=["."], resolve_aliases=True, allow_inspection=False)


def doc(found):
    """The docstring of an object."""
    return found.docstring.value.strip() if found.docstring else ""


def page(room):
    """Everything public of one room: functions and classes by their docstrings, tables of names by their values."""
    lines = [f"# dynsim.{room}", "", doc(package()[room]), ""]
    for name, found in members(room):
        if found.is_class or found.is_function:
            lines += [f'<a id="dynsim.{room}.{name}"></a>', "", f"::: {found.canonical_path}", ""]
            continue
        lines += [f"## {name} {{#dynsim.{room}.{name}}}", ""]
        if found.is_module:
            lines += [doc(found), f"::: {found.canonical_path}", ""]
        else:
            lines += [constant(getattr(import_module(f"dynsim.{room}"), name)) or f"`{found.value}`", ""]
    return "\n".join(lines)


def constant(value):
    """The values of a table of names: the only thing that is not in the source, where tables are computed.

    >>> constant(("a", 1))
    "`'a'`, `1`"
    >>> print(constant({"png": "sharp | small"}))
    | name | value |
    |---|---|
    | `'png'` | sharp \\| small |
    >>> constant({"a": print})
    "`'a'`"
    """
    if isinstance(value, dict) and all(isinstance(one, str | int | float | tuple) for one in value.values()):
        cells = [one if isinstance(one, str) else f"`{one!r}`" for one in value.values()]
        rows = [f"| `{name!r}` | {cell.replace('|', chr(92) + '|')} |" for name, cell in zip(value, cells, strict=True)]
        return "\n".join(["| name | value |", "|---|---|", *rows])
    return ", ".join(f"`{one!r}`" for one in value) if isinstance(value, dict | tuple | list) else ""


def members(room):
    """[(name, what its source says)] of what a room makes public: what people use first, tables of names last."""
    module = package()[room]
    if "_HOME" in module.members:  # loaded when it is used: {name: its file}
        homes = ast.literal_eval(str(module["_HOME"].value))
        found = {name: module[file][name] for name, file in homes.items()}
    else:
        names = module.exports or [name for name in module.members if not name.startswith("_")]
        found = {str(name): module[str(name)] for name in names if str(name) in module.members}
    found = {name: one.final_target if one.is_alias else one for name, one in found.items()}
    first = FIRST.get(room, ())

    def rank(name):
        return (first.index(name) if name in first else len(first), found[name].is_attribute)

    return [(name, found[name]) for name in sorted(found, key=rank)]


def first_sentence(found):
    """The first line of a docstring."""
    return (doc(found) or "-").splitlines()[0]


def examples_as_code():
    """Show what a help text keeps as it is (behind a \\b) as code; click marks it so, Markdown by four spaces."""
    from dynsim.cli._root import root

    def walk(command, context):
        command.help = as_markdown(inspect.cleandoc(command.help or ""))
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                walk(command.get_command(context, name), click.Context(command, parent=context))

    walk(root, click.Context(root))


def as_markdown(text):
    """Indent the paragraphs that begin with \\b.

    >>> as_markdown("Do.\\n\\n\\b\\ndynsim demo")
    'Do.\\n\\n    dynsim demo'
    """
    parts = []
    for part in text.split("\n\n"):
        if part.startswith("\b\n"):
            part = "\n".join(f"    {line}" for line in part[2:].splitlines())
        parts.append(part)
    return "\n\n".join(parts)
