"""The commands that act on jobs: what they choose, ask, tell and answer."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from aiosched import IntervalTrigger, Job, JobState, Scheduler
from aiosched.cli import place as places
from aiosched.cli.app import main

LATER = IntervalTrigger(hours=1)
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shop(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A namespace with three jobs, and an environment that names it."""

    async def fill() -> None:
        async with Scheduler(redis_url, namespace="shop", run_jobs=False) as client:
            for job in (
                Job("bill", id="a", trigger=LATER, tags=["t"]),
                Job("bill", id="b", keyword="k", queue="q"),
                Job("mail", id="c", trigger=LATER, tags=["t"], paused=True),
            ):
                await client.schedule(job, allow_unknown=True)

    asyncio.run(fill())
    monkeypatch.setenv("AIOSCHED_STORE", redis_url)
    monkeypatch.setenv("AIOSCHED_NAMESPACE", "shop")
    return redis_url


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command in this process; answer its code and what it says."""

    def run(*words: str) -> tuple[int, str, str]:
        try:
            code = main(words)
        except SystemExit as error:
            code = int(error.code or 0)
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return int(code), told.out, told.err

    return run


def states(url: str) -> dict[str, str]:
    async def look() -> dict[str, str]:
        async with Scheduler(url, namespace="shop", run_jobs=False) as client:
            return {
                job.id: job.state.value
                for job in await client.get_jobs()
                if job.state is not None
            }

    return asyncio.run(look())


def test_jobs_are_chosen_by_id_or_by_what_they_are(shop: str, say: Say) -> None:
    assert say("pause", "a", "b", "--note", "n") == (0, "paused a\npaused b\n", "")
    assert states(shop) == {"a": "paused", "b": "paused", "c": "paused"}
    assert say("resume", "--all") == (0, "resumed a\nresumed b\nresumed c\n", "")
    assert say("pause", "--keyword", "k")[1] == "paused b\n"
    assert say("pause", "--queue", "q")[1] == "paused b\n"
    assert say("pause", "--executor", "mail")[1] == "paused c\n"
    assert say("stop", "--tag", "t", "--state", "active", "--yes")[1] == "stopped a\n"
    assert say("resume", "--tag", "nobody") == (0, "", "")
    assert states(shop) == {"a": "paused", "b": "paused", "c": "paused"}
    code, out, _ = say("history", "a", "--kind", "held", "--json")
    assert (code, [row["note"] for row in json.loads(out)]) == (0, ["n"])


@pytest.mark.parametrize(
    "words",
    [
        ("pause",),
        ("remove", "--yes"),
        ("pause", "a", "--tag", "t"),
        ("pause", "--all", "--tag", "t"),
        ("start", "a", "--timeout", "3"),
        ("fire", "k", "--timeout", "3"),
        ("pause", "a", "--until", "never"),
        ("fire", "k", "--payload", "{"),
        ("resume", "--al"),
    ],
)
def test_words_that_do_not_go_together(
    shop: str, say: Say, words: tuple[str, ...]
) -> None:
    code, out, err = say(*words)
    assert (code, out) == (2, "")
    assert "aiosched" in err
    assert states(shop) == {"a": "active", "b": "active", "c": "paused"}


def test_what_is_not_there_is_told_and_stops_nothing(shop: str, say: Say) -> None:
    code, out, err = say("pause", "nobody", "a")
    assert (code, out) == (3, "paused a\n")
    assert "no job has the id 'nobody'" in err
    code, out, _ = say("resume", "nobody", "a", "--json")
    first, second = json.loads(out)
    assert code == 3
    assert (first["id"], first["done"], first["error"]) == ("a", "resumed", None)
    assert (second["id"], second["done"]) == ("nobody", None)
    assert "nobody" in second["error"]


@pytest.mark.parametrize(
    "words",
    [("remove", "a"), ("remove", "--all"), ("stop", "--all"), ("remove", "--tag", "t")],
)
def test_nothing_is_destroyed_unasked(
    shop: str, say: Say, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = states(shop)
    code, out, err = say(*words)
    assert (code, out) == (4, "")
    assert "add --yes" in err
    assert states(shop) == before

    def terminal(answer: str) -> None:
        answers = io.StringIO(answer)
        monkeypatch.setattr(answers, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", answers)

    for answer in ("n\n", "\n", "", "maybe\n"):
        terminal(answer)
        code, out, err = say(*words)
        assert (code, out) == (4, "")
        assert "? [y/N]" in err
        assert "nothing was changed" in err
        assert states(shop) == before
    terminal("yes\n")
    code, out, err = say(*words)
    assert code == 0, err
    assert states(shop) != before


def test_one_job_is_stopped_without_a_question(shop: str, say: Say) -> None:
    assert say("stop", "a") == (0, "stopped a\n", "")


def test_a_pause_that_ends_by_itself(shop: str, say: Say) -> None:
    assert say("pause", "a", "--until", "2h", "--note", "two\x1b[31m hours")[0] == 0
    code, out, _ = say("show", "a")
    assert code == 0
    assert "paused until 20" in out
    assert r"two\x1b[31m hours" in out
    assert "\x1b" not in out


def test_firing_a_keyword(shop: str, say: Say) -> None:
    code, out, err = say("fire", "nobody", "--json")
    assert (code, out) == (3, "[]\n")
    assert "no job is subscribed to 'nobody'" in err
    assert say("fire", "k", "--payload", '{"x": 1}') == (0, "fired b\n", "")
    code, out, _ = say("fire", "k", "--fire-id", "f", "--ttl", "1h", "--json")
    (fired,) = json.loads(out)
    assert (fired["id"], fired["done"], fired["firing"]) == ("b", "fired", "f")
    # Nobody runs it: whoever waits is told so, and the fire stays.
    code, out, err = say("fire", "k", "--fire-id", "f", "--wait", "--timeout", "50ms")
    assert code == 6
    assert "no run of b ended within" in err
    code, out, _ = say("show", "b", "--json")
    assert json.loads(out)["job"]["waiting"] == 2


def test_payloads_come_from_files_and_from_the_input(
    shop: str, say: Say, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.json").write_text('{"x": 1}', encoding="utf-8")
    assert say("fire", "k", "--payload", f"@{tmp_path}/p.json")[0] == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("[1]"))
    assert say("fire", "k", "--payload", "-")[0] == 0
    code, _, err = say("fire", "k", "--payload", f"@{tmp_path}/none.json")
    assert code == 2
    assert "cannot be read" in err


def test_who_asks_is_written_down(
    shop: str, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise KeyError("uid 10001")  # what a container without passwd answers

    monkeypatch.setattr(places.getpass, "getuser", nobody)
    say("pause", "a")
    say("resume", "a", "--by", "ann")
    monkeypatch.setattr(places.getpass, "getuser", lambda: "bob")
    say("pause", "a")
    _, out, _ = say("history", "a", "--json")
    assert [row["by"] for row in json.loads(out)][:3] == ["bob", "ann", "cli"]


# --- where it is --------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("jobs",),
        ("show", "a"),
        ("peers",),
        ("health",),
        ("history",),
        ("export",),
        ("schedule", "x"),
        ("remove", "a", "--yes"),
        ("doctor",),
        ("why", "a", "2030-01-01T00:00Z"),
    ],
)
def test_a_store_that_is_away(say: Say, words: tuple[str, ...]) -> None:
    """One line, a code of its own, and nobody's password."""
    url = "redis://ann:s3cret@127.0.0.1:1/0"
    code, out, err = say(*words, "--store", url)
    assert (code, out) == (5, "")
    assert len(err.splitlines()) == 1
    assert "127.0.0.1:1" in err
    assert "s3cret" not in err


async def test_a_store_that_accepts_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert places.CONNECT <= 5
    monkeypatch.setattr(places, "CONNECT", 0.2)
    heard = asyncio.Event()
    gone = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set()
        await gone.wait()
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        words = ("jobs", "--store", f"redis://:s3cret@127.0.0.1:{port}/0")
        assert await asyncio.to_thread(main, words) == 5
        assert heard.is_set()
        gone.set()


@pytest.mark.parametrize("store", [None, "memory://", "nonsense", "redis://h:x"])
def test_no_store_or_none_that_can_be_used(
    say: Say, monkeypatch: pytest.MonkeyPatch, store: str | None
) -> None:
    monkeypatch.delenv("AIOSCHED_STORE", raising=False)
    place = () if store is None else ("--store", store)
    code, out, err = say("jobs", *place)
    assert (code, out) == (2, "")
    assert "store" in err


def test_words_go_before_the_environment(shop: str, say: Say) -> None:
    assert say("jobs", "--namespace", "empty", "--json") == (0, "[]\n", "")
    assert say("jobs", "--store", "redis://127.0.0.1:1")[0] == 5


# --- looking ------------------------------------------------------------------------


def test_show_knows_all_of_a_job(shop: str, say: Say) -> None:
    code, out, _ = say("show", "a")
    assert code == 0
    for line in ("id ", "state ", "executor  ", "trigger ", "tags "):
        assert any(one.startswith(line) for one in out.splitlines()), line
    assert "no live peer can run it (unresolvable)" in out
    data = json.loads(say("show", "a", "--json")[1])
    assert set(data) == {"job", "next", "running", "last", "why"}
    assert data["job"]["id"] == "a"
    assert len(data["next"]) == 5
    say("remove", "a", "--yes")
    code, out, err = say("show", "a")
    assert (code, out) == (3, "")
    assert "was removed" in err
    assert "was never scheduled" in say("show", "nobody")[2]


def test_peers_and_health(shop: str, say: Say) -> None:
    async def program() -> None:
        scheduler = Scheduler(shop, namespace="shop", name="w1", queues=["q"])

        @scheduler.executor
        async def bill() -> None: ...

        async with (
            scheduler,
            Scheduler(shop, namespace="shop", name="client", run_jobs=False),
        ):
            await asyncio.to_thread(look)

    def look() -> None:
        code, out, _ = say("peers")
        assert code == 0
        assert [line.split()[0] for line in out.splitlines()] == [
            "NAME",
            "client",
            "w1",
        ]
        first, second = json.loads(say("peers", "--json")[1])
        assert (first["name"], first["claims"]) == ("client", False)
        assert (second["name"], second["claims"]) == ("w1", True)
        assert (second["queues"], second["executors"]) == (["q"], ["bill"])
        assert say("health") == (0, "healthy\n", "")
        assert say("health", "--name", "w1")[0] == 0
        code, out, _ = say("health", "--name", "client")
        assert (code, "runs jobs" in out) == (1, True)
        code, out, _ = say("health", "--name", "other", "--json")
        assert (code, json.loads(out)["ok"]) == (1, False)

    assert say("health")[:2] == (1, "not healthy: no peer is alive: start one\n")
    asyncio.run(program())
    assert say("health")[0] == 1


def test_tables_and_lists_agree(shop: str, say: Say) -> None:
    table = say("jobs")[1].splitlines()[1:]
    data = json.loads(say("jobs", "--json")[1])
    assert [line.split()[:2] for line in table] == [
        [job["id"], job["state"]] for job in data
    ]
    assert JobState(data[2]["state"]) is JobState.PAUSED
