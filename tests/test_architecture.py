"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_PACKAGE = _ROOT / "aiosched"
_FILE_LINES = 400
_FUNCTION_LINES = 50

_MODULES = sorted(_PACKAGE.rglob("*.py"))
_TESTS = sorted((_ROOT / "tests").rglob("*.py"))
_TEXTS = [
    _ROOT / "README.md",
    _ROOT / "CONTRIBUTING.md",
    *sorted((_ROOT / "docs").rglob("*.md")),
]

# Those that wait for something real and have no other way to do it.
_MAY_SLEEP = {
    "tests/clusters.py",
    "tests/guards.py",
    "tests/sentinels.py",
    "tests/servers.py",
    "tests/waiting.py",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = Function | ast.ClassDef | ast.Module


def _name(path: Path) -> str:
    return path.relative_to(_ROOT).as_posix()


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _docstring_lines(node: ast.AST) -> int:
    """Count the lines of all docstrings in a node."""
    total = 0
    for inner in ast.walk(node):
        if not isinstance(inner, Documented) or ast.get_docstring(inner) is None:
            continue
        text = inner.body[0]
        total += (text.end_lineno or text.lineno) - text.lineno + 1
    return total


def _functions(tree: ast.Module) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


# --- imports -------------------------------------------------------------------


def test_the_import_contracts_are_kept() -> None:
    # A process of its own, since the tool reconfigures logging.
    code = "from importlinter.cli import lint_imports as run; exit(run(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", _MODULES, ids=_name)
def test_nobody_inside_imports_from_the_package_root(path: Path) -> None:
    rooms = {one.stem for one in _PACKAGE.iterdir() if not one.name.startswith("__")}
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "aiosched":
            names = {alias.name for alias in node.names}
            assert names <= rooms, f"line {node.lineno}: import from the modules"
        elif isinstance(node, ast.Import) and path.name != "__init__.py":
            names = {alias.name for alias in node.names if not alias.asname}
            assert "aiosched" not in names, f"line {node.lineno}: name the module"


def test_importing_the_package_does_not_import_redis() -> None:
    code = "import aiosched, sys; print(sorted({'redis', 'rich'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"


# --- sizes ---------------------------------------------------------------------


@pytest.mark.parametrize("path", _MODULES, ids=_name)
def test_no_file_outgrows_one_duty(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    code = lines - _docstring_lines(_tree(path))
    assert code <= _FILE_LINES, f"{code} lines beside docstrings"


@pytest.mark.parametrize("path", _MODULES, ids=_name)
def test_no_function_outgrows_one_duty(path: Path) -> None:
    for node in _functions(_tree(path)):
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        code = lines - _docstring_lines(node)
        assert code <= _FUNCTION_LINES, f"{node.name} (line {node.lineno}) has {code}"


# --- names ---------------------------------------------------------------------


def _public_names(tree: ast.Module) -> set[str]:
    """Return the names that the top of a module imports or defines for others."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {one.id for one in node.targets if isinstance(one, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_")}


def test_the_root_exports_exactly_what_it_names() -> None:
    root = importlib.import_module("aiosched")
    exported = root.__all__
    assert list(exported) == sorted(exported)
    assert len(set(exported)) == len(exported)
    for name in exported:
        assert getattr(root, name) is not None, name
    given = set(exported) - {"__version__"}
    hidden = {"TYPE_CHECKING", "Any", "annotations", "import_module"}
    assert _public_names(_tree(_PACKAGE / "__init__.py")) - hidden == given


def test_what_the_design_promises_is_exported() -> None:
    promised = {
        "AndTrigger",
        "CalendarIntervalTrigger",
        "Context",
        "CronTrigger",
        "DateTrigger",
        "Executor",
        "IntervalTrigger",
        "Job",
        "MemoryJobStore",
        "OrTrigger",
        "Outcome",
        "RedisJobStore",
        "Retry",
        "Run",
        "Scheduler",
        "every",
        "open_store",
    }
    assert promised <= set(importlib.import_module("aiosched").__all__)


@pytest.mark.parametrize("path", _MODULES, ids=_name)
def test_names_for_others_exist(path: Path) -> None:
    tree = _tree(path)
    for node in tree.body:
        if isinstance(node, ast.Assign) and _is_all(node.targets[0]):
            exported = ast.literal_eval(node.value)
            module = _name(path).removesuffix(".py").removesuffix("/__init__")
            home = importlib.import_module(module.replace("/", "."))
            assert len(set(exported)) == len(exported)
            assert [name for name in exported if not hasattr(home, name)] == []


def _is_all(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "__all__"


def test_the_version_is_said_once() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    version = importlib.import_module("aiosched").__version__
    assert version == project["project"]["version"]


# --- errors --------------------------------------------------------------------

_BRANCH = re.compile(
    r"^(?P<depth> {4}[│├└─ ]*)(?P<name>\w+Error|CancelJob)(?: \((?P<std>\w+)\))?"
)


def _drawn_tree(text: str) -> dict[str, tuple[str, str | None]]:
    """Read the tree of a docstring: class -> (parent, parent in the stdlib)."""
    drawn: dict[str, tuple[str, str | None]] = {}
    path: list[str] = []
    for line in inspect.cleandoc(text).splitlines():
        found = _BRANCH.match(line)
        if found is None:
            continue
        depth = len(found["depth"]) // 4 - 1
        path = [*path[:depth], found["name"]]
        parent = path[-2] if depth else "Exception"
        drawn[found["name"]] = (parent, found["std"])
    return drawn


def test_the_drawn_tree_of_errors_is_the_real_one() -> None:
    errors = importlib.import_module("aiosched.errors")
    real: dict[str, tuple[str, str | None]] = {}
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if kind.__module__ == errors.__name__:
            bases = [base.__name__ for base in kind.__bases__]
            real[name] = (bases[0], bases[1] if len(bases) > 1 else None)
    drawn = _drawn_tree(errors.__doc__ or "")
    assert drawn == real
    assert set(errors.__all__) == set(real)


# --- texts ---------------------------------------------------------------------

_LINK = re.compile(r"\]\((?!https?:|mailto:|#)(?P<path>[^)#\s]+)(?:#[^)]*)?\)")
_PATH = re.compile(
    r"`(?P<path>(?:aiosched|tests|docs|benchmarks|examples|\.ci|\.github)"
    r"/[\w./-]+|[A-Z][A-Z_]+\.md|noxfile\.py|pyproject\.toml)`"
)


@pytest.mark.parametrize("path", _TEXTS, ids=_name)
def test_paths_that_a_text_names_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for found in _LINK.finditer(text):
        assert (path.parent / found["path"]).exists(), f"link to {found['path']}"
    for found in _PATH.finditer(text):
        assert (_ROOT / found["path"]).exists(), f"names {found['path']}"


# --- sleeping ------------------------------------------------------------------


def _sleeps(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Find the calls that sleep; ``asyncio.sleep(0)`` only lets others go on."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        called = ast.unparse(node.func)
        if called not in {"asyncio.sleep", "time.sleep"}:
            continue
        nothing = isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
        if not nothing:
            yield node.lineno, called


@pytest.mark.parametrize("path", _TESTS, ids=_name)
def test_tests_sleep_in_virtual_time_only(path: Path) -> None:
    name = _name(path)
    if name in _MAY_SLEEP or name.startswith(("tests/crash/", "tests/faults/")):
        return
    virtual = "virtual" in path.read_text(encoding="utf-8")
    for line, called in _sleeps(_tree(path)):
        assert virtual, f"line {line}: {called} in a file without virtual time"
        assert called == "asyncio.sleep", f"line {line}: {called} blocks the loop"
