"""``aiosched export`` and ``import``: files, and what is asked before jobs change."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from aiosched import IntervalTrigger, Job, Scheduler
from aiosched.cli.app import main
from aiosched.cli.schema import schema_text

LATER = IntervalTrigger(hours=1)


@pytest.fixture
def shop(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    async def fill() -> None:
        async with Scheduler(redis_url, namespace="shop", run_jobs=False) as client:
            for job in (
                Job("bill", (1,), id="a", trigger=LATER, tags=["t"]),
                Job("bill", id="b", keyword="k"),
            ):
                await client.schedule(job, allow_unknown=True)

    asyncio.run(fill())
    monkeypatch.setenv("AIOSCHED_STORE", redis_url)
    monkeypatch.setenv("AIOSCHED_NAMESPACE", "shop")
    return redis_url


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_there_and_back(
    shop: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = str(tmp_path / "jobs.json")
    document = json.loads(said(capsys, "export"))
    assert said(capsys, "export", "-o", path) == f"2 jobs in {path}\n"
    assert json.loads(Path(path).read_text("utf-8"))["jobs"] == document["jobs"]
    assert [one.name for one in tmp_path.iterdir()] == ["jobs.json"], "no draft is left"
    there = ("--namespace", "other")
    bring = ("import", path, "--keep-state", "--allow-unknown", *there)
    dry = said(capsys, *bring, "--dry-run")
    assert dry == "created: a, b\nnothing was written\n"
    assert json.loads(said(capsys, "jobs", *there, "--json")) == []
    assert json.loads(said(capsys, *bring, "--json"))["created"] == ["a", "b"]
    assert json.loads(said(capsys, "export", *there))["jobs"] == document["jobs"]
    assert said(capsys, *bring) == "unchanged: a, b\n0 jobs written\n"
    named = json.loads(said(capsys, "export", "a"))
    assert [one["job"]["id"] for one in named["jobs"]] == ["a"]
    assert main(("export", "nobody")) == 3


def test_jobs_are_replaced_only_by_who_says_so(
    shop: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = json.loads(said(capsys, "export"))
    document["jobs"][0]["job"]["args"] = [2]
    text = json.dumps(document)

    def bring(*words: str) -> int:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        return main(("import", "-", "--allow-unknown", *words))

    def args() -> Any:
        return json.loads(said(capsys, "show", "a", "--json"))["job"]["args"]

    assert bring() == 4
    assert "add --on-conflict replace, or keep" in capsys.readouterr().err
    assert bring("--on-conflict", "keep") == 0
    assert "kept: a" in capsys.readouterr().out
    assert bring("--on-conflict", "replace") == 4
    assert "will not replace job (a) of shop unasked" in capsys.readouterr().err
    assert args() == [1]
    assert bring("--on-conflict", "replace", "--yes") == 0
    assert "replaced: a" in capsys.readouterr().out
    assert args() == [2]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is not an object"),
        ('{"format": "x"}', "format='x'"),
        ('{"format": "aiosched.jobs", "version": 9, "jobs": []}', "version=9"),
    ],
)
def test_files_that_are_no_documents(
    shop: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    text: str,
    part: str,
) -> None:
    path = tmp_path / "f"
    path.write_text(text, encoding="utf-8")
    assert main(("import", str(path))) == 2
    assert part in capsys.readouterr().err
    assert main(("import", str(tmp_path / "none"))) == 2
    path.write_bytes(b"\xff")
    assert main(("import", str(path))) == 2
    assert main(("export", "-o", str(tmp_path / "no" / "where"))) == 2
    assert "cannot write" in capsys.readouterr().err


def test_what_is_left_out_is_told(
    shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job of which only a run is left cannot be moved, and says so."""
    begun = asyncio.Event()

    async def program() -> int:
        scheduler = Scheduler(shop, namespace="shop")

        @scheduler.executor
        async def hold() -> None:
            begun.set()
            await asyncio.Event().wait()

        async with scheduler:
            await scheduler.schedule(Job("hold", id="once"))
            await begun.wait()
            code = await asyncio.to_thread(main, ("export",))
            await scheduler.remove_job("once")
            return code

    assert asyncio.run(program()) == 1
    told = capsys.readouterr()
    assert "job once is left out: nothing but a firing that is running" in told.err
    assert len(json.loads(told.out)["jobs"]) == 2


def test_the_schema_knows_every_key(
    shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = json.loads(schema_text("jobs"))
    document = json.loads(said(capsys, "export"))
    assert set(schema["properties"]) == set(document)
    entry = schema["properties"]["jobs"]["items"]["properties"]
    for one in document["jobs"]:
        assert set(one) == set(entry)
        assert set(one["job"]) == set(entry["job"]["properties"])
        assert set(one["state"]) == set(entry["state"]["properties"])
        counts = entry["state"]["properties"]["counts"]["properties"]
        assert set(one["state"]["counts"]) == set(counts)
    references = [
        part.split('"')[0] for part in json.dumps(schema).split('"$ref": "#/$defs/')[1:]
    ]
    assert references
    assert set(references) <= set(schema["$defs"])
