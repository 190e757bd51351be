"""What is written, and kept true: S3-08, 09, 20, 23, 24, 35 to 37, 39, 44, 45."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import aiosched
from aiosched import Job, JobState, Outcome
from tests.docs import test_snippets as snippets
from tests.docs.pages import DOCS, ROOT, blocks, table
from tests.seeds.stage import Stage, overhear


def _run(*words: str, **options: Any) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
        **options,
    )
    return str(done.stdout)


def _aiosched(*words: str) -> str:
    return _run("-m", "aiosched", *words, cwd=ROOT)


def _page(path: str) -> str:
    return (DOCS / path).read_text(encoding="utf-8")


# --- S3-08, S3-20: using it ---


@pytest.mark.seed("S3-08", "S3-20")
def test_a_copy_in_any_folder_works_and_imports_no_redis(tmp_path: Path) -> None:
    package = Path(aiosched.__file__).parent
    vendored = tmp_path / "third party" / "aiosched"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, vendored, ignore=ignored)
    code = (
        "import sys, asyncio, aiosched as a; print(a.__file__)\n"
        "async def main():\n"
        "    async with a.Scheduler() as s:\n"
        "        s.register(word)\n"
        "        print(await s.result(await s.schedule(a.Job('word')), timeout=9))\n"
        "async def word(): return 'vendored'\n"
        "asyncio.run(main()); print('redis' in sys.modules)"
    )
    path = {"PYTHONPATH": str(vendored.parent)}
    where, word, redis = _run("-c", code, cwd=tmp_path, env=path).splitlines()
    assert Path(where).is_relative_to(tmp_path)
    assert (word, redis) == ("vendored", "False")


# --- S3-09: known issues ---


@pytest.mark.seed("S3-09")
def test_each_known_issue_names_a_test_that_is_collected_or_an_issue() -> None:
    lines = [line for line in _page("known-issues.md").splitlines() if "|" in line][2:]
    assert len(lines) >= 5
    named: set[str] = set()
    for line in lines:
        where = line.strip(" |").rsplit(" | ", 1)[1]
        tests = set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", where))
        assert tests or re.fullmatch(r"issue \d+", where), line
        named |= tests
    files = sorted({test.split("::")[0] for test in named})
    said = _run("-m", "pytest", "--collect-only", "-q", *files, cwd=ROOT)
    collected = {line.split("[")[0] for line in said.splitlines()}
    assert named <= {re.sub(r"::Test\w+", "", test) for test in collected}


# --- S3-23, S3-39, S3-45: the empty chapters ---


@pytest.mark.seed("S3-23")
def test_the_first_page_runs_in_memory() -> None:
    page = DOCS / "getting-started.md"
    assert len(list(blocks(page.read_text(encoding="utf-8")))) >= 3
    snippets._run_page(page, "memory://", snippets._virtual)


@pytest.mark.seed("S3-23")
def test_the_first_page_runs_on_a_server(redis_url: str) -> None:
    snippets._run_page(DOCS / "getting-started.md", redis_url, None)


@pytest.mark.seed("S3-39")
def test_the_page_on_stores_runs_and_shows_both(redis_url: str) -> None:
    page = DOCS / "howto" / "create-a-store.md"
    text = page.read_text(encoding="utf-8")
    assert "MemoryJobStore" in text
    assert "RedisJobStore" in text
    snippets._run_page(page, redis_url, None)


@pytest.mark.seed("S3-45")
def test_the_page_on_starting_runs(redis_url: str) -> None:
    page = DOCS / "howto" / "start-a-scheduler.md"
    text = page.read_text(encoding="utf-8")
    for word in ("async with", "start()", "run_forever", "SIGTERM"):
        assert word in text, word
    snippets._run_page(page, redis_url, None)


# --- S3-24: the components ---


@pytest.mark.seed("S3-24")
def test_the_five_components_are_explained_and_can_be_imported() -> None:
    said = re.findall(
        r"^\| \*\*(.*?)\*\*", _page("explanation/architecture.md"), re.MULTILINE
    )
    names = ["Scheduler", "JobStore", "Job", "Executor"]
    assert said[:5] == [*names, "Signals and events"]
    for name in (*names, "Event"):
        assert isinstance(getattr(aiosched, name), type)


# --- S3-35: the messages ---


def _fits(message: dict[str, str], schema: dict[str, Any]) -> list[str]:
    """Return the titles of the schema's forms that a message has."""
    return [
        form["title"]
        for form in schema["oneOf"]
        if set(message) == set(form["required"]) == set(form["properties"])
        and all(
            re.search(form["properties"][key]["pattern"], text)
            for key, text in message.items()
        )
    ]


@pytest.mark.seed("S3-35")
async def test_the_schema_of_messages_fits_every_message(redis_url: str) -> None:
    schema = json.loads(_aiosched("schema", "message"))
    stage = Stage(redis_url)
    async with stage, overhear(redis_url) as overheard:
        client, _ = await stage.two()
        for job_id in ("plain", "größe|%", "with blank"):
            await client.schedule(Job("note", id=job_id, keyword="k"))
        for firing in await client.fire_job("k"):
            await client.wait(firing, timeout=5)
        await client.modify("plain", note="new")
        await client.remove_jobs()
        await overheard.catch_up()
    heard = [{"channel": c, "data": d} for c, d in overheard.messages]
    found = [_fits(message, schema) for message in heard]
    assert all(len(forms) == 1 for forms in found), heard
    assert {form for forms in found for form in forms} == {"changed", "done", "canary"}
    assert not _fits({"channel": "{seeds:1}:s", "data": "no bars"}, schema)


@pytest.mark.seed("S3-35")
def test_the_flow_of_synchronisation_is_drawn() -> None:
    text = _page("explanation/synchronisation.md")
    assert text.count("sequenceDiagram") >= 2
    for word in ("`id`", "`queue`", "`instant`", "`seq`"):
        assert word in text


# --- S3-36: the inside ---


@pytest.mark.seed("S3-36")
def test_the_inside_is_explained_with_tests_that_exist() -> None:
    text = _page("explanation/engine.md") + _page("explanation/architecture.md")
    assert "timer" in text.lower()
    assert "fire_job" in text
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) >= 3
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), test


# --- S3-37: the states ---

_EDGE = re.compile(r"^\s*(job|firing)_(\w+) -> \1_(\w+) ", re.MULTILINE)


@pytest.mark.seed("S3-37")
async def test_the_drawn_states_are_the_ones_that_jobs_go_through(
    stage: Stage,
) -> None:
    drawn = _aiosched("states", "--dot")
    edges = {found.groups() for found in _EDGE.finditer(drawn)}
    walked: list[JobState] = []
    async with stage:
        client, _ = await stage.two()

        async def look() -> None:
            walked.append(await client.state("a"))

        await look()
        await client.schedule(Job("hold", id="a", keyword="k"))
        await look()
        for verb in (client.pause, client.resume, client.stop_job, client.resume):
            await verb("a")
            await look()
        await client.start_job("a")
        await stage.begun("a")
        await client.remove_job("a")
        await look()
    assert len(set(walked)) == 4
    for before, after in itertools.pairwise(walked):
        assert ("job", before.value, after.value) in edges
    for kind, words in (("job", JobState), ("firing", Outcome)):
        states = {state for group, *pair in edges if group == kind for state in pair}
        assert {word.value for word in words} <= states


@pytest.mark.seed("S3-37")
def test_the_documents_have_the_drawn_states() -> None:
    text = _page("reference/states.md")
    drawn = _aiosched("states", "--dot")
    nodes = re.findall(r'^\s*(\w+)_(\w+) \[label="\2"\]', drawn, re.MULTILINE)
    assert [w for kind, w in nodes if kind == "job"] == list(table(text, "JobState"))
    outcomes = [w for kind, w in nodes if kind == "firing"][3:]
    assert outcomes == list(table(text, "Outcome"))


# --- S3-44: all parameters ---


@pytest.mark.seed("S3-44")
def test_the_table_of_parameters_is_the_schema() -> None:
    schema = json.loads(_aiosched("schema", "job"))
    rows = table(_page("reference/job-parameters.md"), "Job parameters")
    assert set(rows) == set(schema["properties"])
