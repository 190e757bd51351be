"""``${VARIABLE}`` in texts of a configuration: filled in, and never shown.

What is filled in may be a secret, so the text that comes of it shows itself as
it was written: with the name of the variable, and not with its value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aiosched.config.sources import Key
from aiosched.errors import ConfigurationError

__all__ = ["Filled", "Filler", "hidden_in", "plain", "read_secret"]

_SHORTEST = 3
"""Characters from which on a part is looked for in what others say."""
MOST_SECRET = 65_536

_MARK = re.compile(
    r"\$\$|\$\{(?:(?P<file>file:[^}]+)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^}]*)?)\}|\$\{(?P<wrong>[^}]*)"
)


class Filled(str):
    """Text into which something was filled that may be secret.

    It is the text itself; only ``repr`` shows what was written in its place.
    """

    __slots__ = ("parts", "written")
    written: str
    """What stands in the file."""
    parts: tuple[str, ...]
    """What was filled in."""

    def __new__(cls, text: str, written: str, parts: tuple[str, ...]) -> Filled:
        """Remember what was written, and what was filled in."""
        made = super().__new__(cls, text)
        made.written = written
        made.parts = parts
        return made

    def __repr__(self) -> str:
        return repr(self.written)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        # What is sent elsewhere is the text alone.
        return str, (str(self),)

    def hide(self, said: str) -> str:
        """Return a text in which what was filled in is replaced by stars."""
        for part in sorted({*self.parts, str(self)}, key=len, reverse=True):
            if len(part) >= _SHORTEST:
                said = said.replace(repr(part)[1:-1], "***").replace(part, "***")
        return said


def plain(value: Any) -> Any:
    """Return a value with ordinary texts, as stores and drivers want them."""
    if isinstance(value, Filled):
        return str(value)
    if isinstance(value, Mapping):
        return {plain(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def hidden_in(value: Any) -> Iterator[Filled]:
    """Yield every filled text in a value."""
    if isinstance(value, Filled):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from hidden_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from hidden_in(each)


def read_secret(name: str, folder: Path, field: str) -> str:
    """Read a secret from a file of its own; a last line break is no part of it.

    Raises:
        ConfigurationError: It cannot be read, is too long, or is not UTF-8.
    """
    path = folder / name
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_SECRET + 1)
        if len(raw) > MOST_SECRET:
            problem = f"the file has more than {MOST_SECRET} bytes"
            raise ConfigurationError(field, name, problem, "name the right file")
        return raw.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        problem = f"the file cannot be read: {error.strerror}"
        remedy = f"create {path}, or correct the name"
        raise ConfigurationError(field, name, problem, remedy) from None
    except UnicodeDecodeError:
        problem = "the file is not UTF-8"
        raise ConfigurationError(field, name, problem, "write it as text") from None


class Filler:
    """Fills variables into data, and keeps what is wrong on the way."""

    def __init__(
        self,
        environ: Mapping[str, str],
        folder: Path,
        wrong: Callable[[Key, ConfigurationError], None],
    ) -> None:
        """Take the variables, and who is told of what is missing."""
        self._environ = environ
        self._folder = folder
        self._wrong = wrong

    def fill(self, value: Any, key: Key = ()) -> Any:
        """Return the data with every text filled in; keys are left as they are."""
        if isinstance(value, str):
            return self._text(value, key)
        if isinstance(value, Mapping):
            return {
                name: self.fill(each, (*key, str(name))) for name, each in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.fill(each, (*key, n)) for n, each in enumerate(value)]
        return value

    def _text(self, text: str, key: Key) -> str:
        if "$" not in text:
            return text
        parts: list[str] = []

        def put(found: re.Match[str]) -> str:
            if found[0] == "$$":
                return "$"
            part = self._part(found, text, key)
            parts.append(part)
            return part

        filled = _MARK.sub(put, text)
        return Filled(filled, text, tuple(parts)) if parts else filled

    def _part(self, found: re.Match[str], text: str, key: Key) -> str:
        field = str(key[-1]) if key else "value"
        if found["file"] is not None:
            try:
                name = found["file"].removeprefix("file:")
                return read_secret(name, self._folder, field)
            except ConfigurationError as error:
                said = ConfigurationError(field, text, error.problem, error.remedy)
                self._wrong(key, said)
                return ""
        name = found["name"]
        if name is None:
            problem = f"${{{found['wrong']} names no variable"
            remedy = "write ${NAME}, ${NAME:-default} or ${file:/path}, and $$ for a $"
            self._wrong(key, ConfigurationError(field, text, problem, remedy))
            return ""
        default = found["default"]
        # As in a shell: a variable that is empty is as good as none.
        value = self._environ.get(name) or (None if default is None else default[2:])
        if value is None:
            problem = f"the variable {name} is not set"
            remedy = f"set it, or write a default: ${{{name}:-…}}"
            self._wrong(key, ConfigurationError(field, text, problem, remedy))
            return ""
        return value
