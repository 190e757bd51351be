"""Mistakes planted in the model, to see that the comparison finds them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from aiosched.testing.redis_model import connection, pubsub, streams, zsets
from aiosched.testing.redis_model import words as words_module
from aiosched.testing.redis_model.database import Database
from aiosched.testing.redis_model.resp import RefusedError
from aiosched.testing.redis_model.values import Hash, Sorted

__all__ = ["MISTAKES"]

Plant = Callable[[pytest.MonkeyPatch], None]


def _instead(
    patch: pytest.MonkeyPatch, name: str, make: Callable[[Any], Callable[..., Any]]
) -> None:
    """Put another function in the place of a command's."""
    right = connection.COMMANDS[name]
    wrong = dataclasses.replace(right, run=make(right.run))
    patch.setitem(connection.COMMANDS, name, wrong)


def _touching(name: str) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> None:
        def make(right: Any) -> Callable[..., Any]:
            def wrong(db: Database, words: Any) -> Any:
                db.touch(words[1])
                return right(db, words)

            return wrong

        _instead(patch, name, make)

    return plant


def _untouched(name: str) -> Plant:
    """Let a command write without anybody who watches being told."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        def make(right: Any) -> Callable[..., Any]:
            def wrong(db: Database, words: Any) -> Any:
                watchers, db.watchers = db.watchers, {}
                try:
                    return right(db, words)
                finally:
                    db.watchers = watchers

            return wrong

        _instead(patch, name, make)

    return plant


def _flush_unseen(patch: pytest.MonkeyPatch) -> None:
    def flush(db: Database) -> None:
        db.values.clear()
        db.deadlines.clear()

    patch.setattr(Database, "flush", flush)


def _one_too_many(patch: pytest.MonkeyPatch) -> None:
    right = streams._options

    def wrong(words: Any, *, adding: bool) -> Any:
        found = right(words, adding=adding)
        if found.longest is not None:
            found.longest += 1
        return found

    patch.setattr(streams, "_options", wrong)


def _gt_on_equal(patch: pytest.MonkeyPatch) -> None:
    right = zsets._decided

    def wrong(old: float | None, score: float, flags: set[bytes]) -> float | None:
        by = score + old if b"incr" in flags and old is not None else score
        if b"gt" in flags and by == old:
            return by
        return right(old, score, flags)

    patch.setattr(zsets, "_decided", wrong)


def _same_value_unseen(patch: pytest.MonkeyPatch) -> None:
    right = Database.put

    def wrong(db: Database, key: bytes, value: Any) -> None:
        if db.values.get(key) != value:
            right(db, key, value)

    patch.setattr(Database, "put", wrong)


def _watch_survives(patch: pytest.MonkeyPatch) -> None:
    def wrong(one: connection.Connection) -> None:
        one.queue = None

    patch.setattr(connection.Connection, "discard", wrong)


def _spoilt_is_done(patch: pytest.MonkeyPatch) -> None:
    def make(right: Any) -> Callable[..., Any]:
        def wrong(one: connection.Connection, words: Any) -> Any:
            if one.queue is not None:
                one.queue.spoilt = False
            return right(one, words)

        return wrong

    _instead(patch, "exec", make)


def _bounds_inclusive(patch: pytest.MonkeyPatch) -> None:
    right = words_module.bound
    patch.setattr(zsets, "bound", lambda word: (right(word)[0], False))


def _hset_counts_all(patch: pytest.MonkeyPatch) -> None:
    def make(_: Any) -> Callable[..., Any]:
        def wrong(db: Database, words: Any) -> Any:
            if len(words) % 2:
                raise RefusedError("ERR wrong number of arguments for 'hset' command")
            db.own(words[1], Hash).update(zip(words[2::2], words[3::2], strict=True))
            return len(words) // 2 - 1

        return wrong

    _instead(patch, "hset", make)


def _empty_stays(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Database, "tidy", lambda *_: None)


def _told_twice(patch: pytest.MonkeyPatch) -> None:
    right = pubsub.Channels.publish

    def wrong(channels: pubsub.Channels, channel: bytes, message: bytes) -> int:
        count = right(channels, channel, message)
        right(channels, channel, message)
        return count

    patch.setattr(pubsub.Channels, "publish", wrong)


def _equal_id(patch: pytest.MonkeyPatch) -> None:
    right = streams._next

    def wrong(db: Database, stream: Any, found: Any) -> Any:
        if found.id is not None and found.id == stream.last and stream.last[0]:
            return found.id
        return right(db, stream, found)

    patch.setattr(streams, "_next", wrong)


def _set_keeps_deadline(patch: pytest.MonkeyPatch) -> None:
    def make(right: Any) -> Callable[..., Any]:
        def wrong(db: Database, words: Any) -> Any:
            return right(db, [*words, b"KEEPTTL"] if len(words) == 3 else words)

        return wrong

    _instead(patch, "set", make)


def _exec_is_undone(patch: pytest.MonkeyPatch) -> None:
    """Let an error inside EXEC undo what stood before it."""

    def make(right: Any) -> Callable[..., Any]:
        def wrong(one: connection.Connection, words: Any) -> Any:
            before = one.server.snapshot()
            place = len(one._output)
            reply = right(one, words)
            if any(part[:1] == b"-" for part in one._output[place:]):
                one.server.restore(before)
            return reply

        return wrong

    _instead(patch, "exec", make)


def _order_by_writing(patch: pytest.MonkeyPatch) -> None:
    def wrong(one: Sorted) -> list[tuple[float, bytes]]:
        found = [(score, member) for member, score in one.scores.items()]
        return sorted(found, key=lambda entry: entry[0])

    patch.setattr(Sorted, "ordered", wrong)


def _reverse_forgets_limit(patch: pytest.MonkeyPatch) -> None:
    def make(right: Any) -> Callable[..., Any]:
        return lambda db, words: right(db, words[:4])

    _instead(patch, "xrevrange", make)


MISTAKES: dict[str, Plant] = {
    "a score set again aborts": _touching("zadd"),
    "deleting nothing aborts": _touching("del"),
    "removing nothing aborts": _touching("srem"),
    "FLUSHALL does not abort": _flush_unseen,
    "PEXPIRE does not abort": _untouched("pexpire"),
    "XADD does not abort": _untouched("xadd"),
    "writing the same value does not abort": _same_value_unseen,
    "EXEC keeps the watch": _watch_survives,
    "EXEC does a spoilt transaction": _spoilt_is_done,
    "an error inside EXEC undoes the rest": _exec_is_undone,
    "MAXLEN keeps one more": _one_too_many,
    "GT takes an equal score": _gt_on_equal,
    "( includes the bound": _bounds_inclusive,
    "equal scores stand in order of writing": _order_by_writing,
    "HSET counts old fields": _hset_counts_all,
    "an emptied set stays": _empty_stays,
    "SET keeps the deadline": _set_keeps_deadline,
    "a message is told twice": _told_twice,
    "an id is taken twice": _equal_id,
    "XREVRANGE forgets COUNT": _reverse_forgets_limit,
}
"""Each mistake by what is wrong with it."""
