"""Import paths: ``shop.jobs:send_invoice``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from aiosched.errors import ConfigurationError

__all__ = ["imported", "is_path", "look_in"]


def is_path(name: str) -> bool:
    """Tell an import path from the name of an executor."""
    module, mark, rest = name.partition(":")
    parts = (*module.split("."), *rest.split("."))
    return bool(mark) and all(part.isidentifier() for part in parts)


def look_in(folder: Path) -> None:
    """Let modules be found in a folder, before all others; twice is safe."""
    here = str(folder.resolve())
    if here not in sys.path:
        sys.path.insert(0, here)


def imported(path: str, field: str = "executor") -> Any:
    """Import what ``module:name`` names; a name may have dots.

    Raises:
        ConfigurationError: It is not there, or its module cannot be imported; the
            text says which.
    """
    name, _, rest = path.partition(":")
    try:
        found: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        own = missing == name or name.startswith(f"{missing}.")
        problem = f"there is no module {missing!r}"
        if not own:
            problem = f"module {name!r} imports {missing!r}, which is not there"
        remedy = "correct the path, install the module, or set app_dir to its folder"
        raise ConfigurationError(field, path, problem, remedy) from None
    except Exception as error:
        problem = f"module {name!r} cannot be imported: {type(error).__name__}: {error}"
        raise ConfigurationError(field, path, problem, "mend the module") from error
    for part in rest.split(".") if rest else ():
        if not hasattr(found, part):
            problem = f"module {name!r} has no {rest!r}"
            raise ConfigurationError(field, path, problem, "correct the name")
        found = getattr(found, part)
    return found
