"""The site has every page and every public name, and its home is the README.

Whether it builds without a warning is shown by ``python3 noxfile.py -s docs``.
"""

from __future__ import annotations

import importlib
import inspect

import pytest

import aiosched
from docs.site.stage import MODULES, PROJECT, ROOT, api_names, linked, nav
from tests.docs.pages import DOCS, blocks

INDEX = DOCS / "index.md"


def test_each_page_stands_in_the_navigation_once() -> None:
    parts = list(nav(INDEX.read_text("utf-8")))
    shown = [(DOCS / path).resolve() for _, pages in parts for path in pages]
    assert len(shown) == len(set(shown))
    assert set(shown) == set(DOCS.rglob("*.md")) - {INDEX}
    captions = [caption for caption, _ in parts]
    assert len(captions) == len(set(captions))


def test_a_page_below_a_smaller_heading_is_found() -> None:
    text = "# T\n\n## A\n\n- [x](x.md)\n\n### Be\n\n- [y](y/y.md): z\n"
    assert list(nav(text)) == [("A", ["x.md"]), ("A: be", ["y/y.md"])]


def test_each_public_name_has_a_page() -> None:
    shown = [name for names in api_names().values() for name in names]
    assert len(shown) == len(set(shown))
    elsewhere = set(aiosched.__all__) - set(shown)
    assert elsewhere == {"BackgroundScheduler", "BlockingScheduler"}
    assert "aiosched.background" in MODULES
    for module in MODULES:
        assert importlib.import_module(module).__doc__


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("[a](../README.md#install)", "[a](../index.md#install)"),
        ("[a](tutorial.md)", "[a](tutorial.md)"),
        ("[a](missing.md)", "[a](missing.md)"),
        ("[a](../examples/hello.py)", "a (`examples/hello.py`)"),
        ("[a](https://example.org/x)", "[a](https://example.org/x)"),
    ],
)
def test_links_lead_to_what_the_site_has(text: str, made: str) -> None:
    assert linked(text, INDEX) == made


def test_the_pages_of_the_project_are_there() -> None:
    assert all((ROOT / name).is_file() for name in PROJECT)


def test_the_first_example_takes_twenty_lines() -> None:
    first = next(blocks((ROOT / "README.md").read_text("utf-8")))
    code = [line for line in first.code.splitlines() if line.strip()]
    assert len(code) <= 20
    assert first.reason is None
    assert first.expected


@pytest.mark.seed("S4-12")
@pytest.mark.parametrize("module", ["aiosched", *MODULES])
def test_every_public_name_says_what_it_is(module: str) -> None:
    room = importlib.import_module(module)
    silent = []
    for name in getattr(room, "__all__", []):
        value = getattr(room, name)
        if not (inspect.isclass(value) or inspect.isroutine(value)):
            continue
        parts = {name: value}
        if inspect.isclass(value):
            # What the base of another project says of its own is not asked for.
            methods = inspect.getmembers(value, inspect.isfunction)
            parts |= {
                f"{name}.{word}": method
                for word, method in methods
                if not word.startswith("_") and method.__module__.startswith("aiosched")
            }
        # `getmembers` gives functions; a text may stand at the base's.
        for part, one in parts.items():
            owner = value if part != name else room
            if not inspect.getdoc(getattr(owner, part.rpartition(".")[2], one)):
                silent.append(part)
    assert not silent
