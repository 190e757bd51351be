"""User code under the judge's eyes: who enters an executor, and how it is left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from aiosched.context import Context
from aiosched.registry import Registered, Registry
from aiosched.testing.simulation.peers import Peer

__all__ = ["WatchedRegistry"]


class WatchedRegistry(Registry):
    """Registers as any other, and has the judge told of each entry and exit.

    A run comes by the point ``mid_run`` when its executor is about to be entered.
    """

    def __init__(self, peer: Peer) -> None:
        """Begin with no executors.

        Args:
            peer: Whose they are.
        """
        super().__init__()
        self._peer = peer
        self._watched: dict[Registered, _Watched] = {}

    def register(
        self,
        target: object,
        *,
        name: str | None = None,
        aliases: Iterable[str] = (),
        queue: str | None = None,
    ) -> Registered:
        """Take in an executor, as the registry does, and return it watched."""
        return self._seen(
            super().register(target, name=name, aliases=aliases, queue=queue)
        )

    def find(self, ref: object) -> Registered | None:
        """Return the executor that is meant, as the registry does, but watched."""
        found = super().find(ref)
        return None if found is None else self._seen(found)

    def __iter__(self) -> Iterator[Registered]:
        """Yield each executor once, watched."""
        return map(self._seen, super().__iter__())

    def _seen(self, found: Registered) -> Registered:
        watched = self._watched.get(found)
        if watched is None:
            made = _thread if found.kind == "thread" else _coroutine
            values = {one.name: getattr(found, one.name) for one in fields(found)}
            values["call"] = made(self._peer, found.call)
            watched = self._watched[found] = _Watched(**values)
        return watched


@dataclass(frozen=True, slots=True, eq=False)
class _Watched(Registered):
    """One whose ``call`` wants the context first, whatever the executor takes."""

    def bind(
        self, arguments: bytes, payload: bytes, context: object
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        # A class with slots is made twice: super() would name the first one.
        args, kwargs = Registered.bind(self, arguments, payload, context)
        return (context, *args), kwargs


def _enter(peer: Peer, context: Context) -> None:
    key = context.run_id.rsplit("/", 2)[1]
    peer.judge.started(peer.name, context.job_id, key, context.attempt, context.fence)


def _coroutine(peer: Peer, call: Callable[..., Any]) -> Callable[..., Any]:
    async def run(context: Context, /, *args: Any, **kwargs: Any) -> Any:
        _enter(peer, context)
        by = "cancelled"
        try:
            await peer.world.reach("mid_run")
            answer = await call(*args, **kwargs)
            by = "returned"
        except Exception:
            by = "raised"
            raise
        else:
            return answer
        finally:
            peer.judge.ended(peer.name, context.job_id, context.fence, by)

    return run


def _thread(peer: Peer, call: Callable[..., Any]) -> Callable[..., Any]:
    def run(context: Context, /, *args: Any, **kwargs: Any) -> Any:
        _enter(peer, context)
        by = "raised"
        try:
            peer.world.passes(peer.name, "mid_run")
            if peer.world.dead(peer.name):
                return None  # nobody is left to hear of it
            answer = call(*args, **kwargs)
            by = "returned"
            return answer
        finally:
            peer.judge.ended(peer.name, context.job_id, context.fence, by)

    return run
