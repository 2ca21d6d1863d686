"""Finds what was added by adding one file: the file's name is its name in the command line and the documents."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


class BrokenContractError(TypeError):
    """A file in a folder of plug-ins lacks what the folder's contract asks for; the message names file and cure."""


def modules(package: ModuleType, required: str) -> dict[str, ModuleType]:
    """Import every public module of `package` that is there to be found; each must define `required`.

    Returns name to module, in the order of their names. A module that sets `PLUGIN = False` is part of the
    machinery and is passed over.
    """
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        if info.ispkg or info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        if getattr(module, "PLUGIN", True) is False:
            continue
        if not hasattr(module, required):
            raise BrokenContractError(
                f"{module.__file__} defines no `{required}`; add it as the other files of {package.__name__} do, "
                "or set PLUGIN = False in a file that is none of them"
            )
        found[info.name] = module
    return found
