"""Options that figures, films and pages have in common: which neurons they show, and how large they are."""

import click

from dynsim._check import refusal

_MOST = 1_000_000  # neurons of one option


def numbers(context, parameter, value):
    """Whole numbers and ranges between commas: "0,3,25-29" is 0, 3 and 25 to 29."""
    if value is None:
        return None
    found = []
    try:
        for part in value.split(","):
            first, dash, last = part.strip().partition("-")
            first, last = int(first), int(last if dash else first)
            if not first <= last < first + _MOST:
                raise ValueError
            found += range(first, last + 1)
    except ValueError:
        wanted = "numbers and ranges such as 0,3,25-29"
        raise refusal(parameter.opts[-1], repr(value), wanted, error=click.UsageError) from None
    return found


def pixels(context, parameter, value):
    """Width and height."""
    if value is None:
        return None
    try:
        width, height = (int(part) for part in value.lower().split("x"))
    except ValueError:
        wanted = "width and height in pixels such as 1200x800"
        raise refusal(parameter.opts[-1], repr(value), wanted, error=click.UsageError) from None
    return width, height


def _groups(context, parameter, value):
    return list(value) or None


def neuron_options(command):
    """`--neurons` and `--group`, which may be given several times; they become `neurons` and `groups`."""
    by_group = click.option(
        "--group", "groups", multiple=True, callback=_groups, metavar="NAME",
        help="Neurons of this group, by name or number; may be given several times.",
    )  # fmt: skip
    by_number = click.option("--neurons", callback=numbers, metavar="0,3,25-29", help="These neurons, counted from 0.")
    return by_number(by_group(command))
