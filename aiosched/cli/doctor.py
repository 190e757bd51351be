"""``aiosched doctor``: what is wrong with a namespace's data, and mending it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aiosched.cli.codes import CannotError
from aiosched.cli.printable import printable
from aiosched.clock import SystemClock
from aiosched.stores.damage import KINDS, Damage, Level

__all__ = ["Asked", "run_doctor"]

_SHOWN = 10
"""Findings of one kind that are listed; the others are counted."""
_HARMLESS = {Level.LITTER, Level.NOTE}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the doctor is to do.

    Attributes:
        store: URL of the store.
        namespace: What to look at.
        fix: Mend what can be mended.
        yes: Put what nobody can read into quarantine, without asking.
        as_json: One JSON object.
    """

    store: str
    namespace: str
    fix: bool = False
    yes: bool = False
    as_json: bool = False


def run_doctor(asked: Asked) -> int:
    """Look, mend if that is asked for, and say what there is.

    Returns:
        0: there is no damage; 1: there is, or was and nothing was mended.

    Raises:
        CannotError: Words that do not go together.
        AioschedError: It was not possible to look.
    """
    if asked.yes and not asked.fix:
        raise CannotError("--yes goes with --fix")
    mended, left = asyncio.run(_look(asked))
    if asked.as_json:
        _print_json(asked, mended, left)
    else:
        _print_lines(asked, mended, left)
    return int(any(one.level not in _HARMLESS for one in left))


async def _look(asked: Asked) -> tuple[list[Damage], list[Damage]]:
    if asked.store.partition(":")[0] == "memory":
        raise CannotError("a memory store can only be seen by its own process")
    try:
        from aiosched.stores.redis.doctor import doctor
        from aiosched.stores.redis.store import RedisJobStore
    except ImportError as error:
        raise CannotError(f"redis is not installed ({error})") from None
    store = RedisJobStore(asked.store)
    async with doctor(store, asked.namespace, SystemClock().wall) as one:
        if asked.fix:
            return await one.fix(allowed=asked.yes)
        return [], await one.examine()


def _print_json(asked: Asked, mended: Sequence[Damage], left: Sequence[Damage]) -> None:
    data = {
        "namespace": asked.namespace,
        "clean": all(one.level in _HARMLESS for one in left),
        "mended": [one.to_dict() for one in mended],
        "found": [one.to_dict() for one in left],
    }
    print(json.dumps(data, indent=2, ensure_ascii=False))


def _print_lines(
    asked: Asked, mended: Sequence[Damage], left: Sequence[Damage]
) -> None:
    for title, found in (("mended", mended), ("found", left)):
        counted = Counter(one.kind for one in found)
        for kind, number in counted.items():
            print(f"{title}: {kind} ({KINDS[kind].level}), {number}")
            print(f"  {KINDS[kind].meaning}; {_remedy(asked, kind, title)}")
            ones = [one for one in found if one.kind == kind]
            for one in ones[:_SHOWN]:
                print(f"  {printable(one.key)}: {printable(one.detail)}")
            if number > _SHOWN:
                print(f"  and {number - _SHOWN} more, which --json lists")
    damage = sum(one.level not in _HARMLESS for one in left)
    if damage:
        print(f"{damage} left of damage" if asked.fix else f"{damage} of damage")
    else:
        print("no damage" if not mended else "no damage is left")


def _remedy(asked: Asked, kind: str, title: str) -> str:
    level, remedy = KINDS[kind].level, KINDS[kind].remedy
    if level is Level.NOTE or title == "mended":
        return remedy
    if level is Level.UNREADABLE and asked.fix and not asked.yes:
        return f"with --yes {remedy}"
    return f"with --fix{' --yes' * (level is Level.UNREADABLE)} {remedy}"
