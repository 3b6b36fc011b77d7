"""What the docstrings have of reStructuredText (literal blocks, simple tables, bare examples) becomes Markdown."""

import re

from griffe import Extension

RULE = re.compile(r"^ *=+(?: +=+)+ *$")


def as_markdown(text):
    """Convert a docstring.

    >>> as_markdown("As::\\n\\n    x")
    'As:\\n\\n    x'
    >>> print(as_markdown("==  ===\\na   b\\n==  ===\\n1   2 3\\n==  ==="))
    | a | b |
    |---|---|
    | 1 | 2 3 |
    >>> as_markdown(">>> 1\\n1\\n\\nthen")
    '```pycon\\n>>> 1\\n1\\n```\\n\\nthen'
    """
    out, starts, rules, example, section, literal = [], None, 0, False, False, False
    for line in [*text.split("\n"), ""]:
        literal = (literal and (not line or line.startswith(" "))) or line.endswith("::")
        line = re.sub("::$", ":", line)
        if re.match(r"-{3,}$", line) and out:
            section = out[-1] == "Examples"  # these are known as code without us
        if not section and not example and line.startswith(">>>"):
            out.append("```pycon")
            example = True
        elif example and not line:
            out.append("```")
            example = False
        if RULE.match(line):
            starts = [match.start() for match in re.finditer("=+", line)]
            rules += 1
            if rules == 2:
                out.append("|" + "---|" * len(starts))
            if rules == 3:
                starts, rules = None, 0
        elif starts is not None:
            cells = [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
            out.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        elif example or section or literal:
            out.append(line)
        else:
            out.append(re.sub(r"(\w\])(\[\w+\])", r"\1\\\2", line))  # [from][to] is no link
    return "\n".join(out[:-1])


class Docstrings(Extension):
    """Converts every docstring before it is parsed."""

    def on_object(self, *, obj, **kwargs):
        """Griffe has read an object."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
