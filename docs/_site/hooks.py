"""What MkDocs does for this site besides its plugins: formulas, the Python reference, examples in commands' help."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import click
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
    return f'<div class="math">{convert(source, display="block")}</div>'


def on_files(files, config):
    """Write a page of the reference for every room."""
    pages = {"index": index()} | {room: page(room) for room in ROOMS}
    for name, content in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def index():
    """All public names on one page."""
    lines = [
        "# Python reference",
        "",
        "`import dynsim` loads nothing heavy; what is named here is loaded when it is used.",
    ]
    lines += ["", "Shapes, units, errors and an example stand with every name; every example is run by the tests.", ""]
    top = {"Kernel": "kernels", "System": "engine", "Operators": "engine", "solve": "trajectory", "train": "learning"}
    top |= {"evaluate": "learning", "load_model": "models"}
    lines += ["| `dynsim.` | is |", "|---|---|"]
    lines += [f"| `{name}` | [`dynsim.{room}.{name}`]({room}.md#dynsim.{room}.{name}) |" for name, room in top.items()]
    for room in ROOMS:
        lines += [
            "",
            f"## [dynsim.{room}]({room}.md) {{#{room}}}",
            "",
            first_sentence(import_module(f"dynsim.{room}")),
            "",
        ]
        links = [f"[`{name}`]({room}.md#dynsim.{room}.{name})" for name, _ in members(room)]
        lines.append(" · ".join(links))
    return "\n".join(lines) + "\n"


def page(room):
    """Everything public of one room: functions and classes by their docstrings, tables of names by their values."""
    module = import_module(f"dynsim.{room}")
    lines = [f"# dynsim.{room}", "", inspect.getdoc(module) or "", ""]
    for name, value in members(room):
        if inspect.isclass(value) or inspect.isfunction(value):
            lines += [f'<a id="dynsim.{room}.{name}"></a>', "", f"::: {value.__module__}.{value.__qualname__}", ""]
            continue
        lines += [f"## {name} {{#dynsim.{room}.{name}}}", ""]
        if inspect.ismodule(value):
            lines += [inspect.getdoc(value) or "", f"::: {value.__name__}", ""]
        else:
            shown = list(value) if isinstance(value, dict | tuple | list) else [value]
            lines += [", ".join(f"`{one!r}`" for one in shown), ""]
    return "\n".join(lines)


def members(room):
    """[(name, value)] of what a room makes public."""
    module = import_module(f"dynsim.{room}")
    names = getattr(module, "__all__", None) or [
        n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
    ]
    return [(name, getattr(module, name)) for name in names]


def first_sentence(module):
    """The first line of a docstring."""
    return (inspect.getdoc(module) or "").splitlines()[0]


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
