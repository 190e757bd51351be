"""Files as plain data, and the line on which each key stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aiosched.errors import ConfigFileError, ConfigurationError, InvalidInputError

__all__ = ["Key", "Source", "key_text", "read_source"]

Key = tuple[str | int, ...]
"""Where a value is: names of keys, and places in lists."""

MOST_BYTES = 4 * 1024 * 1024
"""Of one file; nobody writes more by hand."""

MOST_VALUES = 100_000
"""In one file."""

_MERGE = "tag:yaml.org,2002:merge"
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PART = re.compile(r"\s*(?:\"((?:[^\"\\]|\\.)*)\"|'([^']*)'|([A-Za-z0-9_-]+))\s*")
_TOML_LINE = re.compile(r"\(at line (\d+), column \d+\)$")


@dataclass(frozen=True)
class Source:
    """What a file holds.

    Attributes:
        name: The file's name for messages; ``configuration`` where there is none.
        data: Plain data: mappings, lists, texts, numbers, truth values, dates.
        lines: The line of each key that is known, counted from 1.
        folder: From which relative names of files are meant.
    """

    name: str
    data: Mapping[str, Any]
    lines: Mapping[Key, int] = field(default_factory=lambda: MappingProxyType({}))
    folder: Path = field(default_factory=Path)

    def where(self, key: Key) -> str:
        """Say where a key stands; empty where that is not known."""
        for end in range(len(key), 0, -1):
            line = self.lines.get(key[:end])
            if line is not None:
                return f"line {line}"
        return ""


def key_text(key: Key) -> str:
    """Write where a value is, as people write it: ``jobs.nightly.tags[0]``."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        name = part if _BARE.fullmatch(part) else f'"{part}"'
        text += f".{name}" if text else name
    return text


def read_source(path: Path) -> Source:
    """Read a TOML or YAML file; its ending says which it is.

    Raises:
        ConfigFileError: It is not there, cannot be read, is neither TOML nor YAML,
            or has a key twice; or the extra ``yaml`` is not installed.
    """
    kind = path.suffix.lower()
    if kind not in (".toml", ".yaml", ".yml"):
        raise _refused(
            path, "is neither TOML nor YAML", "name it *.toml, *.yaml or *.yml"
        )
    text = _text(path)
    data, lines = _toml(path, text) if kind == ".toml" else _yaml(path, text)
    return Source(str(path), data, MappingProxyType(lines), path.parent)


def _refused(path: Path, problem: str, remedy: str, where: str = "") -> ConfigFileError:
    error = ConfigurationError("config", str(path), problem, remedy)
    return ConfigFileError(str(path), [(where, error)])


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise _refused(
            path,
            f"cannot be read: {error.strerror}",
            "correct the name, or write one with: aiosched init",
        ) from None
    if len(raw) > MOST_BYTES:
        raise _refused(path, f"is larger than {MOST_BYTES} bytes", "make it smaller")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _refused(path, "is not UTF-8", "save it as UTF-8") from None


# -- TOML -------------------------------------------------------------------------


def _toml(path: Path, text: str) -> tuple[dict[str, Any], dict[Key, int]]:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        found = _TOML_LINE.search(said)
        where = "" if found is None else f"line {found[1]}"
        problem = f"is no TOML: {said}"
        raise _refused(path, problem, "correct the line", where) from None
    except RecursionError:
        raise _refused(path, "is nested too deeply", "make it flatter") from None
    return data, _toml_lines(text)


def _toml_lines(text: str) -> dict[Key, int]:
    """Find the line of each key, which the parser does not tell.

    What stands within a value of several lines is told by the line of the key.
    """
    lines: dict[Key, int] = {}
    table: Key = ()
    counts: dict[Key, int] = {}
    quotes = ""
    for number, line in enumerate(text.splitlines(), 1):
        if quotes:
            quotes = "" if quotes in line else quotes
            continue
        stripped = line.strip()
        if stripped.startswith("["):
            double = stripped.startswith("[[")
            parts = _parts(stripped[2 if double else 1 :], "]")
            if parts is None:
                continue
            table = _placed(parts, counts, new=double)
            lines.setdefault(table, number)
            continue
        parts = _parts(stripped, "=")
        if parts is None:
            continue
        lines.setdefault((*table, *parts), number)
        value = stripped.partition("=")[2]
        for mark in ('"""', "'''"):
            if value.count(mark) == 1:
                quotes = mark
    return lines


def _parts(text: str, end: str) -> tuple[str, ...] | None:
    """Read a dotted key up to a mark; None if there is none."""
    parts: list[str] = []
    at = 0
    while found := _PART.match(text, at):
        parts.append(next(part for part in found.groups() if part is not None))
        at = found.end()
        if text[at : at + 1] != ".":
            return tuple(parts) if text[at : at + 1] == end else None
        at += 1
    return None


def _placed(parts: Key, counts: dict[Key, int], *, new: bool) -> Key:
    """Put the places of arrays of tables into the name of a table."""
    placed: Key = ()
    for depth, part in enumerate(parts, 1):
        placed = (*placed, part)
        if new and depth == len(parts):
            counts[placed] = counts.get(placed, -1) + 1
        if placed in counts:
            placed = (*placed, counts[placed])
    return placed


# -- YAML -------------------------------------------------------------------------


def _yaml(path: Path, text: str) -> tuple[dict[str, Any], dict[Key, int]]:
    try:
        import yaml
    except ModuleNotFoundError:
        raise _refused(
            path,
            "is YAML, which needs a package that is not installed",
            'install it: pip install "aiosched[yaml]", or write TOML',
        ) from None
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return {}, {}
        if _weight(node, set(), {}) > MOST_VALUES:
            problem = f"has more than {MOST_VALUES} values, with those of its aliases"
            raise _refused(path, problem, "make it smaller")
        lines, mistakes = _yaml_lines(node)
        if mistakes:
            raise ConfigFileError(str(path), mistakes)
        data = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f"line {mark.line + 1}"
        problem = f"is no YAML: {error.problem or error.context}"
        raise _refused(path, problem, "correct the line", where) from None
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise _refused(path, f"is no YAML: {error}", "correct it") from None
    except RecursionError:
        raise _refused(path, "is nested too deeply", "make it flatter") from None
    finally:
        loader.dispose()
    if not isinstance(data, dict):
        raise _refused(path, "is no mapping", "write keys and values") from None
    return data, lines


def _weight(node: Any, around: set[int], known: dict[int, int]) -> int:
    """Count the values in a node, those of aliases as often as they are named.

    Raises:
        ValueError: It contains itself.
    """
    if node.id == "scalar":
        return 1
    own = id(node)
    if own in around:
        message = f"what begins on line {node.start_mark.line + 1} contains itself"
        raise ValueError(message)
    if own not in known:
        around.add(own)
        inner = node.value if node.id == "sequence" else [v for _, v in node.value]
        known[own] = 1 + sum(_weight(each, around, known) for each in inner)
        around.discard(own)
    return known[own]


def _yaml_lines(
    root: Any,
) -> tuple[dict[Key, int], list[tuple[str, InvalidInputError]]]:
    """Find the line of each key; name keys that are doubled or not text."""
    lines: dict[Key, int] = {}
    mistakes: list[tuple[str, InvalidInputError]] = []
    open_nodes: list[tuple[Key, Any]] = [((), root)]
    seen: set[int] = set()
    while open_nodes:
        key, node = open_nodes.pop()
        if node.id == "scalar" or id(node) in seen:
            continue  # an alias says again what its anchor has said
        seen.add(id(node))
        if node.id == "sequence":
            open_nodes += [((*key, n), each) for n, each in enumerate(node.value)]
            continue
        names: set[str] = set()
        for name, value in node.value:
            if name.tag == _MERGE:
                continue  # what it brings is told by the line around it
            where = f"line {name.start_mark.line + 1}"
            if name.tag != "tag:yaml.org,2002:str":
                remedy = 'quote it: "…"; in YAML, on, off, yes and no are no text'
                problem, given = "a key that is not text", str(name.value)
            elif name.value in names:
                problem, remedy = "stands there twice", "keep one of them"
                given = name.value
            else:
                names.add(name.value)
                lines[(*key, name.value)] = name.start_mark.line + 1
                open_nodes.append(((*key, name.value), value))
                continue
            full = key_text((*key, given))
            mistakes.append((where, ConfigurationError(full, given, problem, remedy)))
    return lines, sorted(mistakes, key=lambda one: int(one[0].split()[1]))
