"""What the code itself shows: nothing evaluates data, no pattern can run away."""

from __future__ import annotations

import ast
import importlib
import re
import re._constants as codes  # type: ignore[import-not-found]
import re._parser as reader  # type: ignore[import-not-found]
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import aiosched

PACKAGE = Path(aiosched.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

# --- nothing is evaluated ----------------------------------------------------------

_MODULES = {
    *("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "jsonpickle", "marshal"),
    *("shelve", "yaml", "copyreg", "code", "codeop", "ctypes"),
}
_CALLS = {"eval", "exec", "compile", "__import__"}
_READS = {
    "config/sources.py: yaml": "configurations, by its safe loader",
    "executors.py: pickle": "between a process and the child that it has started",
    "executors.py: pickle.loads": "likewise, over a pipe that nobody else has",
    "integrations/importers/pickles.py: pickle": "others' stores, by a closed list",
}
"""What reads such data all the same, and why it may."""

_IMPORTS = {
    "cli/run.py": "the module that stands on the command line",
    "config/importing.py": "modules that the user's configuration names",
    "integrations/flask_config.py": "functions that the application's own JOBS name",
    "integrations/importers/pickles.py": "types of a closed list, or if told to",
    "integrations/importers/sources.py": "the module that stands on the command line",
    "integrations/serving.py": "a module of the server around the application",
    "triggers/plugins.py": "entry points of installed distributions",
}
"""Who may import by a name that the source does not show, and what."""


def evaluating(tree: ast.AST) -> Iterator[str]:
    """Yield what could turn data into code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in _MODULES)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in _MODULES:
                yield str(node.module)
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in _CALLS:
                yield called.id
            if isinstance(called, ast.Attribute) and called.attr in {
                *("loads", "load"),
            }:
                owner = called.value
                if isinstance(owner, ast.Name) and owner.id in _MODULES:
                    yield f"{owner.id}.{called.attr}"


def test_nothing_evaluates_data() -> None:
    found = {
        f"{path.relative_to(PACKAGE)}: {what}"
        for path in SOURCES
        for what in evaluating(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == _READS.keys()


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from yaml import safe_load",
        "import dill.session",
        "def f(x): return eval(x)",
        "exec('1')",
        "__import__('os')",
    ],
)
def test_what_evaluates_data_would_be_seen(code: str) -> None:
    assert list(evaluating(ast.parse(code)))


def importing(tree: ast.AST) -> bool:
    """Return whether a module imports by a name that its source does not show."""
    return any(
        isinstance(node, ast.Call)
        and (name := getattr(node.func, "attr", getattr(node.func, "id", "")))
        and (
            (name == "load" and not node.args)
            or (
                name in {"import_module", "load_module", "exec_module", "run_path"}
                and not isinstance(node.args[0], ast.Constant)
            )
        )
        for node in ast.walk(tree)
    )


def test_only_words_of_the_user_are_imported() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in SOURCES
        if importing(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == _IMPORTS.keys()


# --- no pattern runs away ----------------------------------------------------------

_COMPILING = {
    *("compile", "search", "match", "fullmatch", "sub", "subn"),
    *("split", "findall", "finditer"),
}
_INSIDE = {
    "cli/words.py": "digits, of a word of the command line",
    "integrations/http/urls.py": "one of two characters, of a URL that is checked",
    "integrations/importers/crontab.py": "one class of characters, of a crontab's line",
    "stores/redis/facts.py": "with the escaped namespace, for a key's name",
    "stores/redis/failures.py": "with the escaped secret, for what is to be hidden",
    "testing/redis_model/keyspace.py": "the glob of a test's own SCAN",
}
"""Patterns that are built in a function, so that no table has them."""

_BOUNDED = {
    "aiosched.config.model._MODULE": "of words that a dot parts",
    "aiosched.triggers.cronfields._TEXT": "of a text of at most 500 characters",
    "aiosched.triggers.cronparts._RANDOM": "of a part of such a text",
}
"""Patterns with a repeat within or beside one, and why they are harmless."""


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Yield all compiled patterns of the package, by module and name."""
    for path in SOURCES:
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[-1] == "__main__":
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                module = importlib.import_module(".".join(parts))
            except ImportError:
                assert parts[1] in {"cli", "integrations", "testing"}, parts
                continue
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                yield f"{module.__name__}.{name}", value
            elif isinstance(value, Mapping):
                for key, one in value.items():
                    if isinstance(one, re.Pattern):
                        yield f"{module.__name__}.{name}[{key}]", one


def compiled_inside(tree: ast.AST) -> bool:
    """Return whether a function of a module makes a pattern, or uses a text as one."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in _COMPILING
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    )


def unbounded(parsed: Any, around: bool = False) -> Iterator[str]:  # noqa: FBT001, FBT002
    """Yield each boundless repeat that stands within another."""
    for code, value in parsed:
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
            _, most, inner = value
            endless = most is codes.MAXREPEAT
            if endless and around:
                yield f"a repeat within a repeat: {inner}"
            yield from unbounded(inner, around or endless)
        elif code is codes.SUBPATTERN:
            yield from unbounded(value[3], around)
        elif code is codes.BRANCH:
            for branch in value[1]:
                yield from unbounded(branch, around)
        elif code in (codes.ASSERT, codes.ASSERT_NOT):
            yield from unbounded(value[1], around)


def test_every_pattern_is_known() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in SOURCES
        if compiled_inside(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found <= _INSIDE.keys(), found - _INSIDE.keys()
    assert len(dict(patterns())) >= 20


def test_no_repeat_stands_within_a_repeat() -> None:
    found = {
        name: problems
        for name, pattern in patterns()
        if (problems := list(unbounded(reader.parse(pattern.pattern, pattern.flags))))
    }
    assert found.keys() <= _BOUNDED.keys(), found
    assert list(unbounded(reader.parse("(a+)+b")))
    assert list(unbounded(reader.parse("(?:x|(?:a*)b)*")))


def pumps(pattern: str) -> Iterator[str]:
    """Yield texts made to keep a pattern busy: its own words, again and again."""
    words = {*re.findall(r"[a-zA-Z]{1,8}", pattern), *"a1- ,;:.|@/=(%", "1st ", "pass"}
    for word in sorted(words):
        yield word * (20_000 // len(word)) + "!"
        yield f"({word}" * 2_000


def searching(name: str) -> bool:
    """Return whether a pattern is looked for, and not held against a whole text."""
    module, _, attribute = name.rpartition(".")
    source = Path(str(importlib.import_module(module).__file__)).read_text("utf-8")
    word = re.escape(attribute.partition("[")[0])
    return bool(
        re.search(word + r"\.(search|sub|subn|split|findall|finditer)\(", source)
    )


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", dict(patterns()))
def test_no_pattern_runs_away(name: str) -> None:
    """What takes the square of many thousand steps, or worse, does not end in time."""
    pattern = dict(patterns())[name]
    text = isinstance(pattern.pattern, str)
    source = pattern.pattern if text else pattern.pattern.decode("latin-1")
    looked_for = searching(name)
    for pump in pumps(source):
        given = pump[:500] if name in _BOUNDED else pump
        subject: Any = given if text else given.encode()
        pattern.fullmatch(subject)
        pattern.match(subject)
        if looked_for:
            sum(1 for _ in pattern.finditer(subject))


def test_a_pattern_that_runs_away_would_be_seen() -> None:
    assert list(unbounded(reader.parse("(?:a+)+$")))
    assert searching("aiosched.stores._NAMED")
    assert not searching("aiosched.jobs.checks._QUEUE")
