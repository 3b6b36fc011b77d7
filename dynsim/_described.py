"""How objects are shown: a line in a terminal, a table in a notebook."""

from __future__ import annotations

from html import escape


class Described:
    """An object that is shown by the facts that its `facts()` gives, `{what: value}`.

    >>> class Pair(Described):
    ...     def facts(self):
    ...         return {"neurons": 2, "dimension": 3}
    >>> Pair()
    <Pair: neurons 2, dimension 3>
    >>> Pair()._repr_html_()[:42]
    '<table><caption>Pair</caption><tr><th styl'
    """

    def __repr__(self):
        return f"<{type(self).__name__}: {', '.join(f'{what} {value}' for what, value in self.facts().items())}>"

    def _repr_html_(self):
        rows = (
            f'<tr><th style="text-align: left">{escape(str(what))}</th>'
            f'<td style="text-align: left">{escape(str(value))}</td></tr>'
            for what, value in self.facts().items()
        )
        return f"<table><caption>{type(self).__name__}</caption>{''.join(rows)}</table>"
