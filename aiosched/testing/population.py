"""Nodes on one loop: what they own, how they stall, crash and are buried."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import types
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any, TypeVar, TypeVarTuple, Unpack

from aiosched.testing.nodes import (
    BESIDE,
    LIFE,
    NODE,
    Life,
    VirtualFuture,
    VirtualTask,
    VirtualTimer,
    bury_generator,
    process_of,
)
from aiosched.testing.stuck import NotSimulatedError
from aiosched.testing.threads import InlineThreads, check_duration

__all__ = ["Population"]

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class Population(InlineThreads):
    """A loop whose tasks, callbacks and timers belong to nodes."""

    def __init__(self) -> None:
        """Begin without nodes."""
        super().__init__()
        self._serials = itertools.count(1)
        self._lives: dict[str, Life] = {}
        # Whether any handle may have to be held back: most runs have no need
        # to look.
        self._gated = False
        self._spawned: set[asyncio.Task[Any]] = set()
        self._graveyard: deque[Any] = deque()
        self._burying = False
        self._generator_lives: weakref.WeakKeyDictionary[Any, Life] = (
            weakref.WeakKeyDictionary()
        )

    def node_context(self, node: str) -> Context:
        """Return a copy of the current context that belongs to the node.

        For ``create_task(..., context=...)`` and ``call_soon(..., context=...)``.

        Raises:
            RuntimeError: The node has crashed and was not restarted.
        """
        life = self._lives.get(node)
        if life is None:
            life = self._lives[node] = Life(node)
        elif life.dead:
            message = f"node {node!r} has crashed; loop.restart({node!r}) revives it"
            raise RuntimeError(message)
        context = copy_context()
        context.run(NODE.set, node)
        context.run(LIFE.set, life)
        return context

    def spawn(
        self, node: str, coro: Coroutine[Any, Any, _T], *, name: str | None = None
    ) -> asyncio.Task[_T]:
        """Start a coroutine as the node's; what it makes is the node's too.

        The loop holds the task until it is done.

        Args:
            node: The node's name; a new name makes a new node.
            coro: What to run.
            name: Name of the task; drawn from a counter if not given.

        Raises:
            RuntimeError: The node has crashed and was not restarted.
        """
        try:
            context = self.node_context(node)
        except RuntimeError:
            coro.close()
            raise
        task = self.create_task(coro, name=name, context=context)
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard, context=Context())
        return task

    def spawn_beside(
        self, part: str, coro: Coroutine[Any, Any, _T], *, name: str | None = None
    ) -> asyncio.Task[_T]:
        """Start a coroutine as a thread of the running node's process.

        It belongs to the node ``process/part``: it goes on while the process's
        own loop is blocked, stops with the process, and dies with it.

        Raises:
            RuntimeError: No node's code is running.
        """
        running = NODE.get()
        if running is None:
            coro.close()
            message = f"spawn_beside({part!r}) is for code that runs on a node"
            raise RuntimeError(message)
        node = f"{process_of(running)}{BESIDE}{part}"
        if node in self._lives and self._lives[node].dead:
            self.restart(node)
        return self.spawn(node, coro, name=name)

    def stall(self, node: str, seconds: float, *, threads: bool = True) -> None:
        """Stop the node for so many virtual seconds, as SIGSTOP or a blocked loop.

        Its callbacks and timers are parked and run late, all at once, in the
        order in which they fell due.  Called from the node's own code it takes
        effect at the next ``await``.  Stalls of one node that overlap end at
        the later end; a crashed node is left alone.

        Args:
            node: Which one.
            seconds: For how long.
            threads: What runs beside it stops, too, as by SIGSTOP; False: it
                goes on, as beside a blocked loop.

        Raises:
            ValueError: The duration is negative or not finite, or there is no
                such node.
        """
        check_duration(seconds)
        self._stall(self._life(node), seconds)
        if threads:
            for life in self._beside(node):
                self._stall(life, seconds)

    def _beside(self, node: str) -> list[Life]:
        prefix = node + BESIDE
        return [life for name, life in self._lives.items() if name.startswith(prefix)]

    def _stall(self, life: Life, seconds: float) -> None:
        until = self.time() + seconds
        current = life.stalled_until
        if life.dead or (current is not None and current >= until):
            return
        life.stalled_until = until
        self._gated = True
        self.call_at(until, self._wake, life, context=Context())

    def _wake(self, life: Life) -> None:
        if life.stalled_until is None or self.time() < life.stalled_until:
            return
        life.stalled_until = None
        self._ready.extend(life.parked)
        life.parked.clear()

    def crash(self, node: str) -> None:
        """Kill the node, as SIGKILL would: none of its code runs any more.

        What runs beside it dies with it.

        Not even ``finally`` blocks run inside the simulation; those that can
        run, unheard, when the loop is closed.  Called from the node's own code
        it takes effect at the next ``await``.  A task elsewhere that awaits one
        of the dead waits until it is cancelled.  Calling again is safe and does
        nothing.

        Raises:
            ValueError: There is no such node.
        """
        self._die(self._life(node))
        for life in self._beside(node):
            self._die(life)

    def _die(self, life: Life) -> None:
        if life.dead:
            return
        life.dead = True
        self._gated = True
        for task in sorted(asyncio.all_tasks(self), key=hash):
            if isinstance(task, VirtualTask) and task.life is life:
                self._kill(task)
        for agen in list(self._asyncgens):
            if self._generator_lives.get(agen) is life:
                self._asyncgens.discard(agen)
                self._graveyard.append(agen)

    def _kill(self, task: asyncio.Task[Any]) -> None:
        # A runner that cancels what is left over would wait for the dead.
        asyncio.tasks._unregister_task(task)
        self._spawned.discard(task)
        self._graveyard.append(task)

    def restart(self, node: str) -> None:
        """Begin a new life of a crashed node; spawn its work afterwards.

        Raises:
            ValueError: There is no such node, or it has not crashed.
        """
        if not self._life(node).dead:
            message = f"node {node!r} has not crashed"
            raise ValueError(message)
        self._lives[node] = Life(node)

    def _life(self, node: str) -> Life:
        try:
            return self._lives[node]
        except KeyError:
            known = ", ".join(sorted(self._lives)) or "none"
            message = f"there is no node {node!r} (known: {known}); spawn it first"
            raise ValueError(message) from None

    def _held_back(self, handle: Any) -> bool:
        """Keep the handle of a dead or stalled node from running."""
        life = handle._context.get(LIFE)
        if life is None:
            return False
        if life.dead:
            self._graveyard.append(handle)
            return True
        if life.stalled_until is not None:
            life.parked.append(handle)
            return True
        return False

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer; those of one instant run in the order they were set in."""
        self._check_closed()
        timer = VirtualTimer(when, callback, args, self, context)
        timer.serial = next(self._serials)
        heapq.heappush(self._scheduled, timer)
        # What asyncio's own cancel() goes by.
        timer._scheduled = True
        return timer

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future that hashes by its serial number."""
        future = VirtualFuture(loop=self)
        future.serial = next(self._serials)
        return future

    def create_task(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        name: object = None,
        context: Context | None = None,
        **options: Any,
    ) -> asyncio.Task[_T]:
        """Start a coroutine; its task hashes by its serial number.

        Raises:
            NotSimulatedError: An eager start was asked for.
        """
        self._check_closed()
        if options.get("eager_start"):
            remedy = "it changes the order of steps; leave it out"
            raise NotSimulatedError("create_task(eager_start=True)", remedy)
        serial = next(self._serials)
        task = VirtualTask(
            coro,
            loop=self,
            name=f"Task-{serial}" if name is None else str(name),
            context=copy_context() if context is None else context,
            serial=serial,
        )
        if self._burying or (task.life is not None and task.life.dead):
            self._kill(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report an exception, unless it is one that only the dead would miss."""
        task = context.get("task", context.get("future"))
        if isinstance(task, VirtualTask) and task.life is not None and task.life.dead:
            return
        super().call_exception_handler(context)

    def _asyncgen_firstiter_hook(self, agen: Any) -> None:
        super()._asyncgen_firstiter_hook(agen)  # type: ignore[misc]
        life = LIFE.get()
        if life is not None:
            self._generator_lives[agen] = life

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        if self._burying:
            bury_generator(agen)
        else:
            super()._asyncgen_finalizer_hook(agen)  # type: ignore[misc]

    def close(self) -> None:
        """Bury the dead, then close the loop."""
        if not self.is_running() and not self.is_closed():
            self._bury()
        super().close()

    def _bury(self) -> None:
        # The last words of the dead may ask for the running loop; what they
        # schedule on it is thrown away with it.
        self._burying = True
        running = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            while self._graveyard:
                body = self._graveyard.popleft()
                if isinstance(body, VirtualTask):
                    body.bury()
                elif isinstance(body, types.AsyncGeneratorType):
                    bury_generator(body)
        finally:
            asyncio._set_running_loop(running)
        self._spawned.clear()
