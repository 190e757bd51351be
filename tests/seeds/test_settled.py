"""The settled rows: allowed to be so, and their places exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.seeds.table import Settled, rows, settled

_ROOT = Path(__file__).parents[2]
_SETTLED = settled()
# The only rows of S3 that a document may answer.
_DOCUMENTS_OF_S3 = {"08", "09", "19", "20", "21", "22", "24", "35", "36", "37"}
_PER_SEED = {"S1": 50, "S2": 61, "S3": 60, "S4": 47, "S5": 51}
# What UTF-8 looks like after somebody has read it as Latin-1 or cp1252.
_DAMAGED = re.compile(r"[ÂÃâ][\u0080-\u00bf€™œž]|\ufffd")


def _documents() -> list[object]:
    return [
        pytest.param(one, id=one.id, marks=pytest.mark.seed(one.id))
        for one in _SETTLED.values()
        if one.how == "document"
    ]


def _texts() -> list[Path]:
    return [*_ROOT.glob("*.md"), *(_ROOT / "docs").rglob("*.md")]


def test_the_list_of_rows_is_whole() -> None:
    counted = dict.fromkeys(_PER_SEED, 0)
    for row in rows():
        counted[row.split("-")[0]] += 1
    assert counted == _PER_SEED


def test_each_settled_row_exists_and_says_why() -> None:
    for one in _SETTLED.values():
        assert one.id in rows()
        assert one.how in {"document", "design"}
        assert one.reason.endswith(".")
        if one.how == "document" and one.id.startswith("S3-"):
            assert one.id.removeprefix("S3-") in _DOCUMENTS_OF_S3


@pytest.mark.parametrize("one", _documents())
def test_the_document_of_a_settled_row_is_there(one: Settled) -> None:
    _place_exists(one)


def test_the_places_of_design_rows_are_there() -> None:
    for one in _SETTLED.values():
        _place_exists(one)


def _place_exists(one: Settled) -> None:
    path, _, heading = one.where.partition("#")
    text = (_ROOT / path).read_text(encoding="utf-8")
    assert len(text) > 200, f"{path} says next to nothing"
    if heading:
        pattern = rf"^#+ .*{re.escape(heading)}"
        assert re.search(pattern, text, re.MULTILINE), f"{path} has no {heading!r}"


@pytest.mark.seed("S3-19")
def test_no_text_has_damaged_characters() -> None:
    for path in _texts():
        text = path.read_text(encoding="utf-8")
        found = _DAMAGED.search(text)
        assert found is None, f"{path.name}: {text[found.start() - 20 :][:40]!r}"


@pytest.mark.seed("S3-20")
def test_the_stated_python_is_the_one_that_is_asked_for() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    oldest = project["project"]["requires-python"].removeprefix(">=")
    for path in ("README.md", "docs/dependencies.md"):
        assert oldest in (_ROOT / path).read_text(encoding="utf-8"), path


@pytest.mark.seed("S3-21")
@pytest.mark.parametrize(
    "path",
    ["CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", ".github/ISSUE_TEMPLATE"],
)
def test_the_ways_to_contribute_are_written_down(path: str) -> None:
    assert (_ROOT / path).exists()


@pytest.mark.seed("S3-22")
def test_the_licence_is_the_one_in_the_metadata() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    first = (_ROOT / "LICENSE").read_text(encoding="utf-8").splitlines()[0]
    assert first.split()[0] == project["project"]["license"]
