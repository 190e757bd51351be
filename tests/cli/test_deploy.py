"""``aiosched plan`` and ``apply``: what a file declares, beside what is stored."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from aiosched import Job, Scheduler
from aiosched.cli.app import main

T = TypeVar("T")
MODULE = "deployed_shop"
CODE = """
async def send(limit: int = 10) -> int:
    return limit


def report(to: str = "") -> str:
    return to


def set_up(scheduler):
    @scheduler.job(id="in-code", keyword="now")
    def in_code() -> None: ...
"""
TWO = {
    "send": {"executor": f"{MODULE}:send", "every": "10 minutes"},
    "report": {"executor": f"{MODULE}:report", "cron": "0 9 * * *", "tags": ["a"]},
}


class Place:
    """A folder with code and a file, and the store that the file names."""

    def __init__(
        self, folder: Path, url: str, said: pytest.CaptureFixture[str]
    ) -> None:
        self.url = url
        self.file = folder / "aiosched.json.toml"
        self._said = said
        (folder / f"{MODULE}.py").write_text(CODE, encoding="utf-8")

    def write(self, jobs: dict[str, Any], **more: Any) -> None:
        """Write the file; JSON values are TOML values, but for tables."""
        lines = [f'others = ["their-*"]\n[scheduler]\nstore = "{self.url}"']
        lines += [f"{key} = {json.dumps(value)}" for key, value in more.items()]
        for name, words in jobs.items():
            lines.append(f"[jobs.{name}]")
            for key, value in words.items():
                if isinstance(value, dict):
                    pairs = (f"{k} = {json.dumps(v)}" for k, v in value.items())
                    lines.append(f"{key} = {{ {', '.join(pairs)} }}")
                else:
                    lines.append(f"{key} = {json.dumps(value)}")
        lines.append(f'[run]\napp_dir = "."\napp = "{MODULE}:set_up"')
        self.file.write_text("\n".join(lines), encoding="utf-8")

    def run(self, *words: str) -> tuple[int, str, str]:
        """Run a command on the file; return exit code and what it said."""
        code = main([words[0], str(self.file), *words[1:]])
        out, err = self._said.readouterr()
        return code, out, err

    def plan(self) -> tuple[int, dict[str, Any]]:
        code, out, _ = self.run("plan", "--json")
        told = json.loads(out)
        assert told["differs"] is (code == 1)
        return code, {one["job"]: one for one in told["jobs"]}

    def changes(self) -> dict[str, str]:
        return {name: one["change"] for name, one in self.plan()[1].items()}

    def ask(self, question: Callable[[Scheduler], Awaitable[T]]) -> T:
        """Ask the store by a client."""

        async def asking() -> T:
            async with Scheduler(self.url, run_jobs=False) as client:
                return await question(client)

        return asyncio.run(asking())

    def stored(self) -> dict[str, Job]:
        return {job.id: job for job in self.ask(lambda client: client.get_jobs())}


@pytest.fixture
def place(
    tmp_path: Path,
    redis_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    return Place(tmp_path, redis_url, capsys)


def test_a_file_is_planned_applied_and_then_there_is_no_difference(
    place: Place,
) -> None:
    place.write(TWO)
    assert place.changes() == {"send": "new", "report": "new", "in-code": "new"}
    assert place.stored() == {}  # looking writes nothing
    code, out, _ = place.run("apply", "--yes")
    assert code == 0, out
    assert "applied: in-code, send, report" in out
    stored = place.stored()
    assert set(stored) == {"in-code", "send", "report"}
    assert {job.declared for job in stored.values()} == {0}
    code, planned = place.plan()
    assert code == 0
    assert {one["change"] for one in planned.values()} == {"unchanged"}
    assert place.run("plan")[1].strip() == "3 unchanged"
    assert place.run("apply")[0] == 0  # nothing to do, so nobody is asked


def test_a_change_names_its_fields_and_moves_no_other_slot(place: Place) -> None:
    place.write(TWO)
    place.run("apply", "--yes")
    before = place.stored()
    changed = {
        "send": TWO["send"] | {"kwargs": {"limit": 5}, "max_runs": 3},
        "report": TWO["report"] | {"cron": "0 10 * * *"},
    }
    place.write(changed)
    _, planned = place.plan()
    assert planned["send"]["change"] == planned["report"]["change"] == "changed"
    assert planned["send"]["fields"] == {
        "kwargs": {"from": {}, "to": {"limit": 5}},
        "max_runs": {"from": None, "to": 3},
    }
    assert planned["send"]["keeps_due"]
    (field,) = planned["report"]["fields"].items()
    assert field == (
        "trigger",
        {"from": "at 09:00 every day, UTC", "to": "at 10:00 every day, UTC"},
    )
    assert not planned["report"]["keeps_due"]
    said = place.run("plan")[1]
    assert '    kwargs: {} -> {"limit": 5}' in said
    assert place.run("apply", "--yes")[0] == 0
    after = place.stored()
    assert after["send"].kwargs == {"limit": 5}
    assert after["send"].next_fire_time == before["send"].next_fire_time
    assert after["report"].next_fire_time != before["report"].next_fire_time
    assert after["in-code"].version == before["in-code"].version == 1
    assert place.plan()[0] == 0


def test_orphans_go_only_when_they_are_meant(place: Place) -> None:
    place.write(TWO)
    place.run("apply", "--yes")

    async def others(client: Scheduler) -> None:
        await client.schedule(Job("x", id="by-hand", keyword="k"), allow_unknown=True)

    place.ask(others)
    place.write({"their-job": TWO["send"]})
    assert place.run("apply", "--yes")[0] == 0
    place.write({"report": TWO["report"] | {"enabled": False}})
    changes = place.changes()
    assert changes == {"report": "off", "send": "orphaned", "in-code": "unchanged"}
    code, out, _ = place.run("apply", "--yes")
    assert (code, "applied: report" in out) == (0, True)
    assert set(place.stored()) == {"in-code", "send", "by-hand", "their-job"}
    assert place.run("apply", "--yes", "--remove-orphans")[0] == 0
    assert set(place.stored()) == {"in-code", "by-hand", "their-job"}
    assert place.plan()[0] == 0


def test_what_cannot_be_found_keeps_all_from_being_applied(place: Place) -> None:
    place.write(
        TWO
        | {
            "gone": {"executor": f"{MODULE}:gone", "every": "day"},
            "nobody": {"executor": "nobody", "every": "day"},
            "wrong": {"executor": f"{MODULE}:send", "every": "day", "args": ["x"]},
        }
    )
    _, planned = place.plan()
    assert "has no 'gone'" in planned["gone"]["problem"]
    assert "no peer has registered it" in planned["nobody"]["problem"]
    assert planned["wrong"]["change"] == "refused"
    assert "args[0]" in planned["wrong"]["problem"]
    code, _, err = place.run("apply", "--yes")
    assert (code, "nothing is applied" in err) == (1, True)
    assert place.stored() == {}


def test_nobody_is_asked_where_nobody_can_answer(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write(TWO)
    monkeypatch.setattr(sys, "stdin", None)
    code, _, err = place.run("apply")
    assert (code, "say --yes" in err) == (2, True)
    assert place.stored() == {}


@pytest.mark.parametrize(("answer", "applied"), [("y", True), ("", False)])
def test_somebody_is_asked(
    place: Place, monkeypatch: pytest.MonkeyPatch, answer: str, *, applied: bool
) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return f"{answer}\n"

    place.write(TWO)
    monkeypatch.setattr(sys, "stdin", Terminal())
    code, _, err = place.run("apply")
    assert "apply this to 3 jobs?" in err
    assert (code, bool(place.stored())) == ((0, True) if applied else (1, False))


def test_what_changes_meanwhile_is_not_overrun(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write(TWO)

    class Slow:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            async def meanwhile(client: Scheduler) -> None:
                job = Job("x", id="send", keyword="k")
                await client.schedule(job, allow_unknown=True)

            place.ask(meanwhile)
            return "y\n"

    monkeypatch.setattr(sys, "stdin", Slow())
    code, _, err = place.run("apply")
    assert (code, "has changed since" in err) == (2, True)
    assert set(place.stored()) == {"send"}


def test_a_higher_revision_is_left_alone(place: Place) -> None:
    place.write(TWO, revision=2)
    place.run("apply", "--yes")
    place.write({"send": TWO["send"] | {"every": "day"}}, revision=1)
    _, planned = place.plan()
    assert planned["send"]["change"] == "held"
    assert "revision 2" in planned["send"]["problem"]
    assert place.run("apply", "--yes", "--remove-orphans")[0] == 1
    assert set(place.stored()) == {"send", "report", "in-code"}


def test_what_was_filled_in_is_not_shown(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPORT_TO", "hunter2@example.com")
    place.write({"report": TWO["report"]})
    place.run("apply", "--yes")
    place.write({"report": TWO["report"] | {"kwargs": {"to": "${REPORT_TO}"}}})
    for words in (("plan",), ("plan", "--json"), ("apply", "--yes")):
        code, out, err = place.run(*words)
        assert code == (0 if "--yes" in words else 1)
        assert "***" in out
        assert "hunter2" not in out + err
    assert place.stored()["report"].kwargs == {"to": "hunter2@example.com"}


def test_a_file_without_a_store_has_nothing_to_be_compared_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.toml"
    file.write_text("", encoding="utf-8")
    assert main(["plan", str(file)]) == 2
    assert "names no store" in capsys.readouterr().err
    assert main(["plan", str(tmp_path / "none.toml")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    file.write_text("[jobs.a]\nevry = 1\n", encoding="utf-8")
    assert main(["plan", str(file)]) == 2
    assert "line 2: jobs.a.evry" in capsys.readouterr().err
