"""Methods, one file each, which are found by listing this folder; METHODS is the table of their names."""

from importlib import import_module
from pkgutil import iter_modules

from ._method import Method
from ._tableau import Tableau

_FOUND = [import_module(f"{__name__}.{name}").METHOD for _, name, _ in iter_modules(__path__) if name[0] != "_"]
METHODS = {
    method.name: method for method in sorted(_FOUND, key=lambda method: (method.adaptive, method.order, method.name))
}

__all__ = ["METHODS", "Method", "Tableau"]
