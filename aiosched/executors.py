"""Executors that are ready to use: in processes, programs, and on the loop itself.

A coroutine function runs on the loop and a plain function in a thread without any of
this.  Register an instance under a name::

    scheduler.register(InProcess(render), name="render")
    scheduler.register(Program("pg_dump", "-Fc"), name="dump")
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.connection import Connection
from subprocess import CalledProcessError
from typing import Any, Literal, get_args

from aiosched.abc import Executor
from aiosched.context import Context
from aiosched.errors import ConfigurationError

__all__ = ["InProcess", "Inline", "Program"]

StartMethod = Literal["spawn", "forkserver"]


class Inline(Executor):
    """Calls a plain function on the event loop, which waits for it.

    For debugging, and for functions of microseconds, which a thread would cost more
    than they do.  Anything longer holds up the loop: see the event ``blocked``.

    Args:
        function: Plain; its annotations say what arguments a job may carry.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        """Take a function.

        Raises:
            ConfigurationError: It is none, or a coroutine function.
        """
        _refuse_other(function, "a coroutine function runs on the loop by itself")

        async def call(_: Context, *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        self.run: Callable[..., Any] = _like(function, call)


class InProcess(Executor):
    """Calls a plain function in a process of its own, for work that takes a CPU.

    Processes are started when they are needed, kept for the next call, and ended
    with the scheduler.  A run that is cancelled, or reaches its time limit, is
    killed with its process, whatever it does.  One whose process dies fails, and
    the next run gets a new one.

    Args:
        function: Defined at the top of a module, so that the process finds it.
            Arguments, results and exceptions are pickled on the way.
        processes: How many there are at most; None: one for each CPU.  Further runs
            wait for one.
        calls: After how many calls a process is replaced, for functions that leak;
            None: never.
        start: How processes are made, see :mod:`multiprocessing`; ``fork`` is none
            of them, because a process that has threads must not be forked.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        processes: int | None = None,
        calls: int | None = None,
        start: StartMethod = "spawn",
    ) -> None:
        """Take a function; no process is started yet.

        Raises:
            ConfigurationError: It cannot be found by another process, or a number
                is no positive whole one.
        """
        _refuse_other(function, "a coroutine function needs the loop")
        for field, value in (("processes", processes), ("calls", calls)):
            if value is not None and (type(value) is not int or value < 1):
                raise ConfigurationError(
                    field, value, "is no positive whole number", "give 1 or more"
                )
        if start not in get_args(StartMethod):
            raise ConfigurationError(
                "start", start, "is not known", f"use one of {get_args(StartMethod)}"
            )
        try:
            self._named = pickle.dumps(function)
        except Exception as error:
            raise ConfigurationError(
                "function",
                function,
                f"cannot be found by another process ({error})",
                "define it at the top of a module",
            ) from None
        self._calls = calls
        self._method: StartMethod = start
        self._most = processes or os.cpu_count() or 1
        self._free = asyncio.Semaphore(self._most)
        self._idle: list[_Child] = []
        self._threads: ThreadPoolExecutor | None = None
        self.run: Callable[..., Any] = _like(function, self._run)

    async def _run(self, _: Context, *args: Any, **kwargs: Any) -> Any:
        request = pickle.dumps((args, kwargs))
        async with self._free:
            child = await self._child()
            try:
                good, answer = await child.ask(request)
            except BaseException:
                await child.kill()
                raise
            if self._calls is not None and child.calls >= self._calls:
                await child.kill()
            else:
                self._idle.append(child)
        if good:
            return answer
        raise answer

    async def _child(self) -> _Child:
        """Return a process that lives; a new one where none is idle."""
        while self._idle:
            child = self._idle.pop()
            if child.alive():
                return child
            await child.kill()
        if self._threads is None:
            # One waits with each process: those that all share might be too few.
            self._threads = ThreadPoolExecutor(self._most, "aiosched-process")
        starting = asyncio.get_running_loop().run_in_executor(
            self._threads, _Child, self._method, self._named, self._threads
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with suppress(Exception):  # nobody waits for it any more
                await (await starting).kill()
            raise

    async def teardown(self) -> None:
        """End the processes, which have nothing to do any more."""
        while self._idle:
            await self._idle.pop().kill()
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None


class _Child:
    """A process that calls one function again and again."""

    def __init__(
        self, method: StartMethod, named: bytes, threads: ThreadPoolExecutor
    ) -> None:
        self._threads = threads
        context: Any = multiprocessing.get_context(method)
        ours, theirs = context.Pipe()
        self._pipe: Connection = ours
        self._process: Any = context.Process(
            target=_serve, args=(theirs, named), name="aiosched-process", daemon=True
        )
        self.calls = 0
        try:
            self._process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()

    def alive(self) -> bool:
        alive: bool = self._process.is_alive()
        return alive

    async def ask(self, request: bytes) -> tuple[bool, Any]:
        """Have the function called.

        Returns:
            Whether it returned, and what; or what it raised.

        Raises:
            BrokenProcessPool: The process has died.
        """
        self.calls += 1
        try:
            answer = await self._apart(self._exchange, request)
        except (EOFError, OSError):
            await self._apart(self._process.join, 5)
            message = f"its process has died: {_cause(self._process.exitcode)}"
            raise BrokenProcessPool(message) from None
        good, data, told = answer
        if good:
            return True, pickle.loads(data)  # noqa: S301 - of our own child
        error = _loaded(data, told)
        error.add_note(told)
        return False, error

    def _exchange(self, request: bytes) -> tuple[bool, bytes, str]:
        self._pipe.send_bytes(request)
        answer: tuple[bool, bytes, str] = self._pipe.recv()
        return answer

    async def kill(self) -> None:
        """End it, whatever it does; safe to call again."""
        self._process.kill()  # at once: it sets the thread free that waits for it
        await asyncio.shield(self._apart(self._gone))

    def _gone(self) -> None:
        self._process.join(5)
        self._pipe.close()

    def _apart(self, call: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._threads, call, *args)


def _cause(code: int | None) -> str:
    if code is None:
        return "it does not answer"
    if code >= 0:
        return f"it ended with exit code {code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


def _loaded(data: bytes, told: str) -> BaseException:
    try:
        error = pickle.loads(data)  # noqa: S301 - of our own child
    except Exception:
        error = None
    if isinstance(error, BaseException):
        return error
    return RuntimeError(told.strip().rpartition("\n")[2])


def _serve(pipe: Connection, named: bytes) -> None:
    """Answer requests until the other end is closed; in the child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to hear
    try:
        function = pickle.loads(named)  # noqa: S301 - from our own parent
        while True:
            args, kwargs = pickle.loads(pipe.recv_bytes())  # noqa: S301 - likewise
            pipe.send(_answer(function, args, kwargs))
    except (EOFError, OSError):
        return


def _answer(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[bool, bytes, str]:
    try:
        return True, pickle.dumps(function(*args, **kwargs)), ""
    except Exception as error:
        told = "in its process:\n" + "".join(traceback.format_exception(error))
        try:
            data = pickle.dumps(error)
        except Exception:
            data = b""  # its text has to do
        return False, data, told


class Program(Executor):
    """Runs a program; that it ends with 0 is the success of the run.

    The program is fixed where it is registered, and no shell reads it: what is
    stored with a job, or comes with a payload, can add words to its command and
    nothing else.  The result is the end of what it wrote to standard output.

    A run that is cancelled, or reaches its time limit, sends SIGTERM to the program
    and all that it has started, and SIGKILL ``grace`` seconds later.  Any other end
    than 0 raises :class:`subprocess.CalledProcessError`, with the end of standard
    error as a note.  ``AIOSCHED_JOB_ID``, ``AIOSCHED_RUN_ID`` and ``AIOSCHED_FENCE``
    are in its environment.

    Args:
        command: The program and its first words.
        cwd: Where it is run; None: where this process is.
        env: What its environment has beside that of this process.
        grace: Seconds between SIGTERM and SIGKILL.
        keep: Bytes of each output that are kept.
    """

    def __init__(
        self,
        *command: str,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        grace: float = 5.0,
        keep: int = 65_536,
    ) -> None:
        """Take a command; it is looked for when it is run.

        Raises:
            ConfigurationError: There is none, or it holds something else than text.
        """
        words: Iterable[object] = command
        if not command or not all(isinstance(w, str) and w for w in words):
            raise ConfigurationError(
                "command", command, "is no command", 'write Program("pg_dump", "-Fc")'
            )
        if isinstance(grace, bool) or not 0 <= grace < float("inf"):
            raise ConfigurationError(
                "grace", grace, "is no number of seconds", "give 0 or more"
            )
        if type(keep) is not int or keep < 1:
            raise ConfigurationError(
                "keep", keep, "is no number of bytes", "give 1 or more"
            )
        self._command = command
        self._cwd = cwd
        self._env = dict(env or {})
        self._grace = grace
        self._keep = keep

    async def run(self, context: Context, *words: str) -> str:
        """Run it once, with these words behind its command."""
        about = {
            "AIOSCHED_JOB_ID": context.job_id,
            "AIOSCHED_RUN_ID": context.run_id,
            "AIOSCHED_FENCE": str(context.fence),
        }
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd=self._cwd,
            env={**os.environ, **self._env, **about},
            start_new_session=True,
        )
        out, wrong = bytearray(), bytearray()
        readers = [
            asyncio.ensure_future(self._read(process.stdout, out)),
            asyncio.ensure_future(self._read(process.stderr, wrong)),
        ]
        try:
            code = await process.wait()
            # What it has left running may hold its output open for ever.
            await asyncio.wait(readers, timeout=self._grace)
        except asyncio.CancelledError:
            await self._end(process)
            raise
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.wait(readers)
        said, told = out.decode(errors="replace"), wrong.decode(errors="replace")
        if code:
            error = CalledProcessError(code, [*self._command, *words], said, told)
            error.add_note(told)
            raise error
        return said

    async def _read(self, stream: asyncio.StreamReader | None, kept: bytearray) -> None:
        """Read a stream to its end, and keep the last of it."""
        while stream is not None and (data := await stream.read(65_536)):
            kept += data
            del kept[: -self._keep]

    async def _end(self, process: Process) -> None:
        _signal(process, "SIGTERM")
        try:
            async with asyncio.timeout(self._grace):
                await process.wait()
        except TimeoutError:
            pass
        finally:
            _signal(process, "SIGKILL")  # and what it has left behind


def _signal(process: Process, name: str) -> None:
    """Send a signal to a program and to all that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, getattr(signal, name))


# -- functions as executors -----------------------------------------------------------


def _refuse_other(function: object, why: str) -> None:
    if not callable(function):
        raise ConfigurationError(
            "function", function, "cannot be called", "give a function"
        )
    if inspect.iscoroutinefunction(function):
        raise ConfigurationError(
            "function", function, f"is awaited, and {why}", "register it as it is"
        )


def _like(function: Callable[..., Any], call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a ``run`` that takes a context, and then what the function takes."""

    @functools.wraps(function)
    async def run(context: Context, /, *args: Any, **kwargs: Any) -> Any:
        return await call(context, *args, **kwargs)

    taken = inspect.signature(function)
    first = inspect.Parameter(
        "context", inspect.Parameter.POSITIONAL_ONLY, annotation=Context
    )
    given = list(taken.parameters.values())
    run.__signature__ = taken.replace(parameters=[first, *given])  # type: ignore[attr-defined]
    return run
