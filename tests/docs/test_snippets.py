"""Every Python block of every page is run, and prints what the page says.

The blocks of a page share their names, in order.  ``redis://localhost:6379``
stands for a server that the tests start.  A page without it runs in virtual
time, so that its pauses take none.  ``#> text``, also ``# > text``, is what a
block prints; ``…`` in it stands for anything.  ``<!-- not run: reason -->`` before
a block excuses it.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import re
import types
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aiosched.testing import VirtualLoop
from tests.docs.pages import DOCS, PLACEHOLDER, Block, blocks, name, pages

# Pages that fill an empty chapter of the seeds.
_CHAPTERS = {
    "docs/getting-started.md": "S3-23",
    "docs/howto/create-a-store.md": "S3-39",
    "docs/howto/start-a-scheduler.md": "S3-45",
}


def _marked(page: Path) -> object:
    row = _CHAPTERS.get(name(page))
    return pytest.param(page, marks=[pytest.mark.seed(row)] if row else [])


_WITH_CODE = [page for page in pages() if "```python" in page.read_text("utf-8")]
_ON_REDIS = [p for p in _WITH_CODE if PLACEHOLDER in p.read_text("utf-8")]
_IN_MEMORY = [p for p in _WITH_CODE if p not in _ON_REDIS]
_ON_BOTH = DOCS / "getting-started.md"
_SERVER = re.compile(re.escape(PLACEHOLDER) + r"(?:/0)?\b")
_EXCUSED = 12


def _virtual() -> asyncio.AbstractEventLoop:
    return VirtualLoop(datetime.now(UTC), deadline=10 * 86_400)


def _run_page(
    page: Path, url: str, loops: Callable[[], asyncio.AbstractEventLoop] | None
) -> None:
    text = page.read_text(encoding="utf-8")
    module = types.ModuleType("__main__")
    with asyncio.Runner(loop_factory=loops) as runner:
        for block in blocks(text):
            if block.reason is None:
                _run_block(page, block, url, module, runner)
        left = [task.get_name() for task in asyncio.all_tasks(runner.get_loop())]
        assert not left, f"{name(page)} leaves running: {left}"


def _run_block(
    page: Path, block: Block, url: str, module: types.ModuleType, runner: asyncio.Runner
) -> None:
    # Blank lines in front make tracebacks name the line of the page.
    source = "\n" * (block.line - 1) + _SERVER.sub(url, block.code)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(source, name(page), "exec", flags=flags, dont_inherit=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if code.co_flags & 0x80:  # it awaits at its top level
            runner.run(types.FunctionType(code, module.__dict__)())
        else:
            exec(code, module.__dict__)
    if block.expected is not None:
        lines = [line.rstrip() for line in printed.getvalue().splitlines()]
        said = " | ".join(block.expected)
        pattern = re.escape(said).replace("…", ".*")
        assert re.fullmatch(pattern, " | ".join(lines)), (
            f"{name(page)}:{block.line} prints {lines}, not {block.expected}"
        )


@pytest.mark.parametrize("page", [_marked(p) for p in _IN_MEMORY], ids=name)
@pytest.mark.seed("S1-30")
def test_a_page_in_virtual_time(page: Path) -> None:
    # Signals of the system belong to the real loop.
    real = "add_signal_handler" in page.read_text(encoding="utf-8")
    _run_page(page, PLACEHOLDER, None if real else _virtual)


@pytest.mark.seed("S3-23")
def test_the_first_page_without_a_server() -> None:
    assert _ON_BOTH in _ON_REDIS
    _run_page(_ON_BOTH, "memory://", _virtual)


@pytest.mark.parametrize("page", [_marked(p) for p in _ON_REDIS], ids=name)
def test_a_page_on_a_server(page: Path, redis_url: str) -> None:
    _run_page(page, redis_url, None)


@pytest.mark.seed("S1-30")
def test_most_blocks_are_run() -> None:
    excused = {
        f"{name(page)}:{block.line}": block.reason
        for page in _WITH_CODE
        for block in blocks(page.read_text("utf-8"))
        if block.reason is not None
    }
    assert len(excused) <= _EXCUSED, excused
    for place, reason in excused.items():
        assert len(reason) > 10, f"{place} gives no reason"


@pytest.mark.parametrize(
    ("code", "right"),
    [
        ("print(1)  #> 1", True),
        ("print(1)  #> 2", False),
        ("print(1)  # > 1", True),
        ("print(1)  # > 2", False),
        ("print(12)  #> 1…", True),
        ("await asyncio.sleep(86_400)\nprint('later')  #> later", True),
        ("raise ValueError", False),
        ("print(1)\nprint(2)  #> 1", False),
    ],
)
def test_a_wrong_page_is_noticed(code: str, *, right: bool) -> None:
    page = Path(__file__)  # only its name is used
    block = Block(1, code, next(iter(blocks(f"```python\n{code}\n```"))).expected, None)
    module = types.ModuleType("__main__")
    module.__dict__["asyncio"] = asyncio
    with asyncio.Runner(loop_factory=_virtual) as runner:
        if right:
            _run_block(page, block, "", module, runner)
        else:
            with pytest.raises((AssertionError, ValueError)):
                _run_block(page, block, "", module, runner)
