"""The log: a closed list of actions, lines of JSON, and which run a line is of."""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import aiosched
from aiosched import ConfigurationError, Context, Job, Scheduler
from aiosched.logs import ACTIONS, JsonFormatter, RunFilter, log
from tests.docs.pages import DOCS, table

PACKAGE = Path(aiosched.__file__).parent
CALLS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(PACKAGE / "testing"):
            continue  # simulators tell of simulated peers
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "log"
                and node.func.attr in CALLS
            ):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node


def _extra(call: ast.Call) -> tuple[str, set[str]]:
    """Return the action of a call and the names of its other fields."""
    (extra,) = [k.value for k in call.keywords if k.arg == "extra"]
    if isinstance(extra, ast.Dict):
        keys = [k.value for k in extra.keys if isinstance(k, ast.Constant)]
        values = dict(zip(keys, extra.values, strict=True))
        action = values.pop("action")
        assert isinstance(action, ast.Constant)
        return str(action.value), {str(one) for one in values}
    assert isinstance(extra, ast.Call)  # what a run says of itself, and more
    assert isinstance(extra.func, ast.Attribute)
    assert extra.func.attr == "said"
    (action,) = extra.args
    assert isinstance(action, ast.Constant)
    more = {str(k.arg) for k in extra.keywords}
    return str(action.value), {"job_id", "run_id", "fence", "attempt", *more}


def test_every_line_has_an_action_of_the_list_and_its_fields() -> None:
    seen: dict[str, set[str]] = {}
    for where, call in _calls():
        assert any(k.arg == "extra" for k in call.keywords), f"{where} has no action"
        action, fields = _extra(call)
        assert action in ACTIONS, f"{where}: {action}"
        said = ACTIONS[action]
        level = call.func.attr  # type: ignore[attr-defined]
        level = "error" if level == "exception" else level
        assert level == "log" or level in said.levels, where
        assert fields <= set(said.fields), where
        seen.setdefault(action, set()).update(fields)
    assert {name: set(one.fields) for name, one in ACTIONS.items()} == seen


def test_nobody_logs_by_another_door() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(PACKAGE / "testing") or path.name == "logs.py":
            continue
        assert (
            'getLogger("aiosched' not in path.read_text() or path.name == "options.py"
        )


def test_the_reference_page_has_the_list() -> None:
    page = table((DOCS / "reference/logs.md").read_text(encoding="utf-8"), "Actions")
    assert list(page) == sorted(ACTIONS)
    for name, (levels, fields, meaning) in page.items():
        said = ACTIONS[name]
        assert levels == ", ".join(said.levels)
        assert fields == ", ".join(f"`{field}`" for field in said.fields)
        assert meaning == said.meaning


# -- lines of JSON ------------------------------------------------------------------


@contextmanager
def gathered(
    name: str = "aiosched", *, formatter: logging.Formatter | None = None
) -> Iterator[StringIO]:
    """Gather what a logger is told, as lines of JSON."""
    out = StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter or JsonFormatter())
    logger = logging.getLogger(name)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield out
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def lines(out: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def record(**extra: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": "text", "levelname": "INFO", **extra})


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda n: n not in vars(record())),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        )
        | st.binary()
        | st.builds(Unshowable)
        | st.sets(st.integers()),
        max_size=4,
    )
)
def test_whatever_is_logged_is_one_line_of_valid_json(extra: dict[str, Any]) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    text = JsonFormatter().format(record(**extra))
    assert text.isascii()
    assert "\n" not in text
    said = json.loads(text, parse_constant=refuse)
    assert said["message"] == "text"
    assert said["level"] == "info"
    assert len(said) == 4 + len(extra)


def test_an_endless_value_and_arguments_that_do_not_fit() -> None:
    endless: list[Any] = []
    endless.append(endless)
    said = json.loads(JsonFormatter().format(record(endless=endless, n=math.nan)))
    assert said["n"] == "nan"
    assert isinstance(said["endless"], str)
    broken = record(args=(1, 2))
    assert "text" in json.loads(JsonFormatter().format(broken))["message"]


def test_an_exception_and_the_time_and_names_that_are_taken() -> None:
    try:
        raise KeyError("x\ny")
    except KeyError:
        caught = sys.exc_info()
    one = record(exc_info=caught, error="mine", time=3, created=1_700_000_000.5)
    said = json.loads(JsonFormatter({"service": "billing"}).format(one))
    assert said["time"] == "2023-11-14T22:13:20.500Z"
    assert said["error"] == "KeyError"
    assert "Traceback" in said["traceback"]
    assert (said["error_"], said["time_"]) == ("mine", 3)
    assert said["service"] == "billing"


# -- which run a line is of ----------------------------------------------------------


async def test_lines_of_users_code_say_which_run_they_are_of() -> None:
    user = logging.getLogger("users.code")
    with gathered("users.code") as out:
        user.info("outside")
        async with Scheduler() as scheduler:

            @scheduler.executor
            async def deep(context: Context) -> int:
                user.info("in the task")
                await asyncio.create_task(child())
                return context.fence

            async def child() -> None:
                user.info("in a child")

            @scheduler.executor
            def plain(context: Context) -> int:
                user.info("in a thread")
                return context.fence

            one = await scheduler.schedule(Job(deep, id="one"))
            first = await scheduler.result(one, timeout=5)
            two = await scheduler.schedule(Job(plain, id="two"))
            second = await scheduler.result(two, timeout=5)
        outside, *inside = lines(out)
    assert "job_id" not in outside
    assert [said["message"] for said in inside] == [
        "in the task",
        "in a child",
        "in a thread",
    ]
    jobs = [("one", first), ("one", first), ("two", second)]
    assert [(said["job_id"], said["fence"]) for said in inside] == jobs
    for said in inside:
        assert said["run_id"].startswith(f"{said['job_id']}/")
        assert said["attempt"] == 1


async def test_the_filter_lets_a_format_name_the_run() -> None:
    plain = logging.Formatter("%(job_id)s %(attempt)s %(message)s")
    user = logging.getLogger("users.format")
    with gathered("users.format", formatter=plain) as out:
        user.handlers[0].addFilter(RunFilter())
        user.info("outside")
        user.info("given", extra={"job_id": "own"})
        async with Scheduler() as scheduler:

            @scheduler.executor
            async def work() -> None:
                user.info("inside")

            job = await scheduler.schedule(Job(work, id="w"))
            await scheduler.result(job, timeout=5)
    assert out.getvalue().splitlines() == [
        "- - outside",
        "own - given",
        "w 1 inside",
    ]


# -- a logger of one's own -----------------------------------------------------------


async def test_each_scheduler_logs_to_its_own_logger_and_says_who_it_is() -> None:
    with gathered("mine.one") as one, gathered("mine.two") as two:
        first = Scheduler(name="first", logger="mine.one")
        second = Scheduler(name="second", logger=logging.getLogger("mine.two"))
        await first.start()
        await second.start()
        for scheduler in (first, second):

            @scheduler.executor
            async def fail() -> None:
                raise ValueError("broken")

            job = await scheduler.schedule(Job("fail", id=f"of-{scheduler.name}"))
            await scheduler.wait(job, timeout=5)

            def bad(event: object) -> None:
                raise RuntimeError("a listener")

            scheduler.on("job_scheduled", bad)
            await scheduler.schedule(Job("fail", id="again", paused=True))
        await first.shutdown()
        await second.shutdown()
        for out, scheduler in ((one, first), (two, second)):
            said = lines(out)
            actions = [line["action"] for line in said]
            assert actions[0] == "scheduler_started"
            assert actions[-1] == "scheduler_ended"
            assert {"run_failed", "callback_failed"} <= set(actions)
            assert {line["scheduler"] for line in said} == {scheduler.name}
            assert {line["peer"] for line in said} == {scheduler.id}
            failed = said[actions.index("run_failed")]
            assert failed["job_id"] == f"of-{scheduler.name}"
            assert (failed["error"], failed["executor"]) == ("ValueError", "fail")


async def test_where_a_line_was_logged_is_the_line_that_logged_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "aiosched"):
        log.info("here", extra={"action": "store_up"})
    (found,) = caplog.records
    assert found.funcName == "test_where_a_line_was_logged_is_the_line_that_logged_it"
    assert Path(found.pathname) == Path(__file__)


@pytest.mark.parametrize("logger", [3, "", object()])
def test_what_is_no_logger_is_refused(logger: Any) -> None:
    with pytest.raises(ConfigurationError, match="logger"):
        Scheduler(logger=logger)
