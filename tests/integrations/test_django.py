"""What jobs that use Django's models do to its connections."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import django
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings

from aiosched import (
    Context,
    Executor,
    InvalidInputError,
    Job,
    RunFailedError,
    Scheduler,
)

if not settings.configured:
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": "each test has one"}
    settings.configure(DATABASES={"default": database}, LOGGING_CONFIG=None)
    django.setup()

from django.db import connection, connections, transaction

from aiosched.integrations.django import uses_orm


@pytest.fixture(autouse=True)
def own_database(tmp_path: Path) -> Iterator[None]:
    """Give Django a database on disk, since those in memory are never closed."""
    connections.settings["default"]["NAME"] = str(tmp_path / "database")
    yield
    connections.close_all()
    with suppress(AttributeError):
        del connections["default"]


def answer() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 42")
        return int(cursor.fetchone()[0])


class Used:
    """The connections that were used, and in which threads."""

    def __init__(self) -> None:
        self.connections: list[Any] = []
        self.threads: list[int] = []

    def look(self) -> int:
        found = answer()
        self.connections.append(connections["default"])
        self.threads.append(threading.get_ident())
        assert connections["default"].connection is not None
        return found

    def closed(self) -> bool:
        return all(one.connection is None for one in self.connections)


@pytest.mark.parametrize("how", ["in a thread", "on the loop"])
async def test_what_a_run_opens_is_closed_when_it_ends(how: str) -> None:
    used = Used()

    def plain(context: Context, *, fails: bool = False) -> int:
        found = used.look()
        if fails:
            raise LookupError("after all")
        return found

    async def coroutine(context: Context, *, fails: bool = False) -> int:
        found = await sync_to_async(used.look)()
        assert await sync_to_async(used.look)() == found
        if fails:
            raise LookupError("after all")
        return found

    work = uses_orm(plain if how == "in a thread" else coroutine)
    assert work.__name__ in ("plain", "coroutine")
    assert inspect.iscoroutinefunction(work) is (how == "on the loop")
    async with Scheduler() as scheduler:
        scheduler.register(work, name="work")
        for number in range(3):
            job = await scheduler.schedule(Job("work", id=f"j{number}"))
            assert await scheduler.result(job, timeout=10) == 42
            assert used.closed()
        job = await scheduler.schedule(Job("work", id="f", kwargs={"fails": True}))
        with pytest.raises(RunFailedError, match="after all"):
            await scheduler.result(job, timeout=10)
    assert used.closed()
    assert threading.get_ident() not in used.threads


async def test_runs_on_the_loop_do_not_wait_for_one_another() -> None:
    held, free = threading.Event(), threading.Event()

    def hold() -> int:
        held.set()
        assert free.wait(10)
        return answer()

    @uses_orm
    async def slow() -> int:
        return await sync_to_async(hold)()

    @uses_orm
    async def quick() -> int:
        return await sync_to_async(answer)()

    first = asyncio.create_task(slow())
    await asyncio.to_thread(held.wait, 10)
    assert await quick() == 42
    assert not first.done()
    free.set()
    assert await first == 42


def test_a_connection_that_is_gone_is_not_used_again() -> None:
    answer()
    old = connection.connection
    connections["default"].close_at = 0.0  # as when its time is over
    seen = []

    @uses_orm
    def work() -> None:
        answer()
        seen.append(connection.connection)

    work()
    assert seen[0] is not None
    assert seen[0] is not old


def test_a_transaction_around_it_goes_on() -> None:
    with transaction.atomic():
        assert uses_orm(answer)() == 42
        assert answer() == 42, "as in a test case"


def test_only_functions_are_decorated() -> None:
    with pytest.raises(InvalidInputError, match="decorate its run"):
        uses_orm(Executor)

    class Work(Executor):
        @uses_orm
        async def run(self, context: Context) -> int:
            return await sync_to_async(answer)()

    assert Scheduler().register(Work) == "Work"
