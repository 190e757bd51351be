"""Guides for those who come from elsewhere: what the other side's code does is run.

``python theirs`` is a block of the other library, run where that is installed;
``python theirs-not-run`` one that is not, and a comment before it says why.  Our
blocks are run as those of all pages are.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib.util
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PLACEHOLDER, name

_PAGES = sorted((DOCS / "migrate").glob("from-*.md"))
_THEIRS = re.compile(
    r"(?P<reason>^<!-- [^>\n]+ -->\n)?^```python (?P<kind>theirs[\w-]*)\n"
    r"(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_NEEDS = {
    "from-apscheduler": "apscheduler",
    "from-celery-beat": "celery",
    "from-rq-scheduler": "rq_scheduler",
}
_ROWS = {
    "from-apscheduler": ("S2-02", "S2-03"),
    "from-flask-apscheduler": ("S2-04",),
    "from-rq-scheduler": ("S5-05",),
}
_LINKS = {
    "from-apscheduler": (
        "https://apscheduler.readthedocs.io/",
        "https://github.com/agronholm/apscheduler/tree/3.x/examples",
    ),
    "from-flask-apscheduler": (
        "https://github.com/viniciuschiele/flask-apscheduler/tree/master/examples",
    ),
}


def _marked(page: Path) -> object:
    rows = _ROWS.get(page.stem)
    return pytest.param(page, marks=[pytest.mark.seed(*rows)] if rows else [])


def _blocks(page: Path) -> Iterator[re.Match[str]]:
    return _THEIRS.finditer(page.read_text("utf-8"))


@pytest.mark.parametrize("page", [_marked(page) for page in _PAGES], ids=name)
def test_a_guide_has_both_sides_and_the_words(page: Path) -> None:
    text = page.read_text("utf-8")
    theirs = list(_blocks(page))
    assert theirs or page.stem == "from-crontab"
    assert "```python\n" in text, "our side is missing"
    table = re.findall(r"^\| .+ \|$", text, re.MULTILINE)
    assert len(table) >= 12, "the words of the other side are not all there"
    assert "What is different" in text or page.stem == "from-crontab"
    for link in _LINKS.get(page.stem, ()):
        assert link in text
    for block in theirs:
        if block["kind"] == "theirs":
            assert page.stem in _NEEDS
        else:
            assert block["kind"] == "theirs-not-run"
            assert block["reason"], "nothing says why it is not run"
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            compile(block["code"], name(page), "exec", flags=flags)


@pytest.mark.parametrize(
    "page", [_marked(page) for page in _PAGES if page.stem in _NEEDS], ids=name
)
def test_the_other_side_runs(page: Path, redis_url: str) -> None:
    if importlib.util.find_spec(_NEEDS[page.stem]) is None:
        pytest.skip(f"{_NEEDS[page.stem]} is not installed")
    printed = io.StringIO()
    expected: list[str] = []

    async def run() -> None:
        names = {"__name__": "theirs"}
        for block in _blocks(page):
            expected.extend(re.findall(r"# > (.*)$", block["code"], re.MULTILINE))
            code = block["code"].replace(PLACEHOLDER, redis_url)
            exec(compile(code, name(page), "exec"), names)

    with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
        warnings.simplefilter("ignore")  # what the others deprecate is theirs
        asyncio.run(run())
    assert printed.getvalue().splitlines() == expected
    assert expected
