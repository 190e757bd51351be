"""The small commands: version, help, schemas; and that they answer quickly."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import aiosched as package
from aiosched import Job, Scheduler, enums
from aiosched.cli.app import parser
from aiosched.cli.printable import printable
from aiosched.cli.schema import message_schema
from aiosched.stores.redis.keys import Keys
from tests.cli.commands import ROOT, aiosched, environment


def test_the_version_is_said() -> None:
    assert aiosched("--version").stdout == f"aiosched {package.__version__}\n"


def test_the_help_lists_the_commands_of_users() -> None:
    said = aiosched("--help").stdout
    for command in ("demo", "run", "results", "history", "schema", "states"):
        assert re.search(rf"^    {command} ", said, re.MULTILINE), command
    assert "demo-peer" not in said


def test_no_command_is_a_mistake() -> None:
    done = aiosched()
    assert done.returncode == 2
    assert "COMMAND" in done.stderr


def test_the_commands_import_late() -> None:
    code = (
        "import sys; from aiosched.cli.app import parser; parser(); "
        "print(sorted({'redis', 'rich', 'http.server'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_the_schema_of_jobs_names_every_field() -> None:
    schema = json.loads(aiosched("schema", "job").stdout)
    assert set(schema["properties"]) == set(Job.model_fields)
    assert "executor" in schema["required"]


def test_the_schema_of_states_names_every_word() -> None:
    words = json.loads(aiosched("schema", "states").stdout)["$defs"]
    assert words["JobState"]["enum"] == [state.value for state in enums.JobState]
    assert set(words) == set(enums.__all__)


def fits(message: dict[str, str], schema: dict[str, Any]) -> list[str]:
    """Return the titles of the variants that a message fits.

    In JSON Schema ``$`` is the end alone, not also before a last newline.
    """
    return [
        one["title"]
        for one in schema["oneOf"]
        if message.keys() == one["properties"].keys()
        and all(
            re.search(rule["pattern"].removesuffix("$") + r"\Z", message[name])
            for name, rule in one["properties"].items()
        )
    ]


async def test_the_schema_of_messages_fits_what_peers_send(redis_url: str) -> None:
    from redis.asyncio import Redis

    schema = json.loads(aiosched("schema", "message").stdout)
    assert schema == message_schema()
    heard: list[tuple[dict[str, str], list[str]]] = []
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        ear = redis.pubsub()
        await ear.psubscribe("{said*")
        await ear.get_message(timeout=5)
        async with Scheduler(redis_url, namespace="said") as one:
            one.register(len, name="odd|name")
            for n in range(3):
                await one.schedule(Job("odd|name", ([n],), id=f"a|{n}%b", keyword="k"))
            await one.fire_job("k")
            await one.drain(timeout=10)
        while (message := await ear.get_message(timeout=0.3)) is not None:
            if message["type"] == "pmessage":
                told = {"channel": message["channel"], "data": message["data"]}
                heard.append((told, fits(told, schema)))
        await ear.aclose()  # type: ignore[no-untyped-call]
    assert [told for told, titles in heard if len(titles) != 1] == []
    assert {titles[0] for _, titles in heard} >= {"changed", "done", "canary"}


@pytest.mark.parametrize(
    "data", ["", "a", "a|q|1", "a|q|x|2", "a|q|1|2\n", "a|q|1|2\nb"]
)
def test_garbage_is_no_message_of_changes(data: str) -> None:
    channel = Keys("said", 8).changed(3)
    told = {"channel": channel, "data": data}
    assert fits(told, message_schema()) == []


# --- outputs that take nothing, and what a terminal would act on ---


@pytest.mark.parametrize("command", ["results", "history", "jobs", "why", "preview"])
def test_the_help_of_what_is_asked_most_has_examples(command: str) -> None:
    said = aiosched(command, "--help").stdout
    examples = said.partition("examples:\n")[2].splitlines()
    assert examples
    for line in examples:
        words = shlex.split(line)
        assert words[:2] == ["aiosched", command]
        assert parser().parse_args(words[1:]).command


def _next_into(shell: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "aiosched", "next", "0 9 * * *", "-n", "2000"]
    line = f"{shlex.join(words)} {shell}"
    return subprocess.run(
        ["sh", "-c", line],
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_full_or_closed_output_is_said_in_a_line() -> None:
    full = _next_into("> /dev/full")
    assert full.returncode == 2
    assert full.stderr == "aiosched: cannot write: No space left on device\n"
    # Also where it is only the last flush that finds out.
    last = _next_into("-n 1 > /dev/full")
    assert (last.returncode, last.stderr) == (full.returncode, full.stderr)
    closed = _next_into(">&-")
    assert closed.returncode == 2
    assert closed.stderr == "aiosched: standard output is closed\n"


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    for enough in ("| head -n 1 > /dev/null", "-n 1 | true"):
        done = _next_into(enough)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("plain é 日本 🎉", "plain é 日本 🎉"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("two\nlines\ttab\r", r"two\nlines\ttab\r"),
        ("\u202ertl", r"\u202ertl"),
        ("half \ud800", r"half \ud800"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
    ],
)
def test_what_a_terminal_would_act_on_is_escaped(text: str, told: str) -> None:
    assert printable(text) == told
