"""Which executor stands for which function of another scheduler."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiosched.errors import ConfigurationError
from aiosched.jobs import checks

__all__ = ["Names"]

_REMEDY = 'write a table of texts: "shop.tasks:close" = "close"'


@dataclass(frozen=True, slots=True)
class Names:
    """A table from functions there to executors here.

    Attributes:
        table: Function to executor; the function ``*`` stands for all others.
        keep: Whether a function that the table lacks is an executor of its name.
    """

    table: Mapping[str, str] = field(default_factory=dict)
    keep: bool = False

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            ConfigurationError: One is no name.
        """
        for name, executor in self.table.items():
            checks.text_id(f"map[{name!r}]", executor, what="name of the executor")

    @classmethod
    def read(
        cls, file: Path | str | None = None, pairs: Iterable[str] = (), *, keep: bool
    ) -> Names:
        """Read a table from a file and from words ``old=new``, which win.

        Args:
            file: TOML or JSON, by its ending: a table of texts; None: none.
            pairs: Words.
            keep: As the attribute.

        Raises:
            ConfigurationError: The file cannot be read, or holds something else;
                or a word is no pair.
        """
        table = {} if file is None else _file(Path(file))
        for pair in pairs:
            old, mark, new = pair.rpartition("=")
            if not (mark and old and new):
                raise ConfigurationError(
                    "map", pair, "is no pair", "write it as shop.tasks:close=close"
                )
            table[old] = new
        return cls(table, keep)

    def executor(self, name: str) -> str | None:
        """Return the executor that stands for a function; None: none does."""
        found = self.table.get(name) or self.table.get("*")
        return name if found is None and self.keep else found


def _file(path: Path) -> dict[str, str]:
    try:
        text = path.read_text("utf-8")
        toml = path.suffix == ".toml"
        data: Any = tomllib.loads(text) if toml else json.loads(text)
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise ConfigurationError("map", str(path), problem, _REMEDY) from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError("map", str(path), str(error), _REMEDY) from None
    if not isinstance(data, dict) or not all(
        isinstance(value, str) for value in data.values()
    ):
        raise ConfigurationError("map", str(path), "is no table of texts", _REMEDY)
    return data
