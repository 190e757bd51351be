"""The mender on a store that moves under its hands: nothing undamaged is told of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from aiosched import planning
from aiosched.abc import Decide
from aiosched.records import Change, Record
from aiosched.stores.redis.connection import Command
from aiosched.testing.contract_decisions import create, firing, ids_in, rewritten
from tests.stores.redis.wire import opened

IDS = ids_in(1, 5)


def move(at: int) -> Decide:
    """Write the records anew, with something to do at an instant."""

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        changes = {}
        for job_id, record in records.items():
            assert record is not None
            new = rewritten(record, now, waiting=(firing("k", at),))
            instant = planning.instant(new.definition, new.state)
            assert instant == at
            changes[job_id] = Change(new, instant)
        return changes

    return decide


@pytest.mark.parametrize(
    "verbs", ["SCAN", "MGET", "ZUNION", "ZUNION ZMSCORE", "SCAN MGET ZUNION ZMSCORE"]
)
async def test_jobs_that_move_between_two_reads(redis_url: str, verbs: str) -> None:
    """Each job is moved before every command of some kinds."""
    async with opened(redis_url) as one, opened(redis_url) as two:
        await one.transact(IDS, create())
        ask, moves = one._link.ask, 0

        async def moving(commands: list[Command], **options: Any) -> list[Any]:
            nonlocal moves
            if any(words[0] in verbs.split() for words in commands):
                moves += 1
                await two.transact(IDS, move(1_000 + moves))
            return await ask(commands, **options)

        one._link.ask = moving  # type: ignore[method-assign,assignment]
        for _ in range(6):
            told = await one.mend()
            assert told.ids == (), "mended what was not damaged"
        assert moves > 5


async def test_damage_is_mended_between_moves(redis_url: str) -> None:
    """A look that was disturbed is taken again with the next pass."""
    async with opened(redis_url) as one, opened(redis_url) as two:
        await one.transact(IDS, create())
        link = one._link
        await link.ask([("ZREM", link.keys.agenda(1, "default"), *IDS)])
        ask, left = link.ask, 3

        async def moving(commands: list[Command], **options: Any) -> list[Any]:
            nonlocal left
            if left and any(words[0] == "ZMSCORE" for words in commands):
                left -= 1
                await two.transact(IDS[:1], move(2_000 + left))
            return await ask(commands, **options)

        link.ask = moving  # type: ignore[method-assign,assignment]
        mended: set[str] = set()
        for _ in range(12):
            mended.update((await one.mend()).ids)
        # The first was entered again by whoever moved it.
        assert mended >= set(IDS[1:])
        key = link.keys.agenda(1, "default")
        [entries] = await link.ask([("ZRANGE", key, 0, -1)])
        assert {raw.decode() for raw in entries} == set(IDS)
