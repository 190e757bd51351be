"""The scheduler of a Flask application.

::

    scheduler = FlaskScheduler()

    @scheduler.task("interval", id="clean", seconds=30)
    def clean():
        current_app.logger.info("cleaning")

    def create_app():
        app = Flask(__name__)
        app.config["AIOSCHED_STORE"] = "redis://localhost"
        scheduler.init_app(app)
        return app
"""

from __future__ import annotations

import functools
import inspect
import os
import threading
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from aiosched._api.options import callable_of
from aiosched._api.waiting import DoneCallback
from aiosched._engine.events import Handler
from aiosched.background import BackgroundScheduler
from aiosched.background.life import Life
from aiosched.errors import (
    ConfigurationError,
    SchedulerStateError,
    StoreUnavailableError,
)
from aiosched.integrations.flask_config import (
    PREFIX,
    Settings,
    settings_of,
    split_words,
)
from aiosched.integrations.serving import (
    Place,
    after_fork,
    of_command,
    of_server,
    reloads,
)
from aiosched.jobs import Job
from aiosched.jobs.inputs import executor_name
from aiosched.logs import log
from aiosched.scheduler import Scheduler
from aiosched.triggers.base import Trigger

try:
    from flask import Flask
    from flask.cli import load_dotenv
    from flask.helpers import get_debug_flag, get_load_dotenv
except ImportError as _error:
    raise ImportError(
        "Flask is not installed: pip install 'aiosched[flask]'", name="flask"
    ) from _error

__all__ = ["FlaskScheduler"]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""Seconds between two tries to start while the store is away."""


class FlaskScheduler(BackgroundScheduler):
    """A scheduler in each process that serves a Flask application.

    Jobs and listeners run in the context of the application.  It starts by
    itself where the application is served, and nowhere else: not in the parent
    of a reloader, in the master of gunicorn or uWSGI, in ``flask shell`` or
    another command, nor when a test imports the application.  Any number of
    processes may share a store; each run is claimed by one of them.
    """

    def __init__(self, app: Flask | None = None) -> None:
        """Be the scheduler of an application, now or by :meth:`init_app`."""
        super().__init__()
        self._app: Flask | None = None
        self._settings = Settings()
        self._tasks: list[tuple[Callable[..., Any], dict[str, Any]]] = []
        self._kept: dict[str, Job] | None = None
        self._place = Place.UNKNOWN
        self._serving: int | None = None
        self._begun: int | None = None
        self._starting = threading.RLock()
        self.registry.around = self._around
        if app is not None:
            self.init_app(app)

    # -- the application -----------------------------------------------------

    def init_app(self, app: Flask) -> None:
        """Read the configuration, declare its jobs, and start where it is served.

        Args:
            app: Whose ``config`` has the keys; see the how-to page.

        Raises:
            ConfigurationError: A key or job cannot be used; nothing was started.
            SchedulerStateError: It was started for another application.
        """
        life = self._life()
        if life.home is not None and not life.home.over.is_set():
            message = "the scheduler was started for another application already"
            raise SchedulerStateError(message)
        settings = settings_of(app.config)
        command = of_command()
        place = of_server() if command is None else command
        options = dict(settings.options)
        if place is Place.ASIDE:
            options["run_jobs"] = False
        self._settle(options)
        self._app, self._settings, self._place = app, settings, place
        self._serving = self._begun = None
        self._declare_all()
        app.extensions["aiosched"] = self
        app.before_request(self._on_request)
        self._watch_run(app)
        self._begin(settings.start)

    def _settle(self, options: dict[str, Any]) -> None:
        """Have other options, and all that was registered and listened for."""
        before = self._life().scheduler
        if self._kept is None:
            self._kept = dict(before._declared)
        try:
            scheduler = Scheduler(**options)
        except ConfigurationError as error:
            name = PREFIX + error.field.upper()
            raise ConfigurationError(
                name, error.value, error.problem, error.remedy
            ) from error
        scheduler._take_over(before)
        scheduler._declared = dict(self._kept)
        self._options = {
            **options,
            "store": scheduler.store,
            "queues": scheduler.queues,
        }
        # The first verb starts it, held where it is not known to be served.
        held = self._place is Place.UNKNOWN
        self._lives = {os.getpid(): Life(scheduler, wanted=True, held=held)}

    def _declare_all(self) -> None:
        for function, words in self._tasks:
            self._declare_task(function, words)
        for one in self._settings.jobs:
            if self.registry.find(one.function) is None:
                self.register(one.function, name=one.name)
            values: dict[str, Any] = one.options
            self.declare(Job(one.function, trigger=one.trigger, **values))

    # -- where it starts -----------------------------------------------------

    def _begin(self, start: str) -> None:
        if start == "never":
            return
        if self._place is Place.SERVING or start == "now":
            self._serve()
        elif self._place is Place.MASTER:
            after_fork(self._serve_child)

    def _serve_child(self) -> None:
        """Start in a child of a server; nobody else runs in it yet."""
        self._starting = threading.RLock()
        self._begun = os.getpid()
        self._serve_beside()

    def _serve(self) -> None:
        """Start, or go on where a verb has started it held; once a process.

        Raises:
            ConfigurationError: As :meth:`start`.
        """
        if self._begun == os.getpid() or self._place is Place.ASIDE:
            return
        self._begun = os.getpid()
        if not self._tried():
            self._serve_beside()

    def _serve_beside(self) -> None:
        """Do so in a thread, again and again while the store is away."""

        def trying() -> None:
            pause, never = _FIRST_PAUSE, threading.Event()
            try:
                while not self._tried():
                    never.wait(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
            except Exception:
                log.exception(
                    "the scheduler cannot be started",
                    extra={"action": "start_failed"},
                )

        threading.Thread(
            target=trying, name="aiosched start in Flask", daemon=True
        ).start()

    def _tried(self) -> bool:
        """Try once; return whether there is nothing left to do."""
        with self._starting:
            life = self._life()
            if self._serving == os.getpid() or life.closed:
                return True
            try:
                if life.home is None:
                    super().start()
                elif self.scheduler.run_jobs:
                    self.release()
            except StoreUnavailableError as error:
                log.warning(
                    "the scheduler cannot be started yet: %s",
                    error,
                    extra={"action": "start_delayed"},
                )
                return False
            self._serving = os.getpid()
            return True

    def _on_request(self) -> None:
        """Start with the first request, in servers that nothing is known of."""
        if self._begun == os.getpid() or self._app is None:
            return
        if self._settings.start == "auto" and not self._app.testing:
            self._serve()

    def _watch_run(self, app: Flask) -> None:
        """Look at the arguments of ``app.run``, which say whether it reloads."""
        run = app.run

        @functools.wraps(run)
        def running(*args: Any, **options: Any) -> None:
            if self._settings.start != "never" and self._app is app:
                said = inspect.signature(run).bind(*args, **options).arguments
                self._before_run(app, said)
            run(*args, **options)

        app.run = running  # type: ignore[method-assign]

    def _before_run(self, app: Flask, said: dict[str, Any]) -> None:
        if os.environ.get("FLASK_RUN_FROM_CLI") == "true":
            return  # Flask ignores the call
        if get_load_dotenv(said.get("load_dotenv", True)):
            load_dotenv()
        debug = said.get("debug")
        if debug is None:
            debug = get_debug_flag() if "FLASK_DEBUG" in os.environ else app.debug
        if said.get("options", {}).get("use_reloader", debug) and not reloads():
            self._stand_aside()
        else:
            self._place = Place.SERVING
            self._serve()

    def _stand_aside(self) -> None:
        """Be a client from now on: a child of this process serves."""
        life = self._life()
        if life.home is not None:
            life.end(force=True, grace=0.0)
        self._place = Place.ASIDE
        self._options = {**self._options, "run_jobs": False}
        fresh = self._renewed(life.scheduler)
        self._lives = {os.getpid(): Life(fresh, wanted=True)}

    def start(self, *, paused: bool = False) -> None:
        """Start here and now, wherever this is.

        For servers that do not say that they serve, before they do; and with
        ``AIOSCHED_START = "never"``.  If a verb has started it already, it begins
        to run jobs.

        Raises:
            SchedulerStateError: There is no application yet, or it was started
                before, or is closed.
            ConfigurationError: As :meth:`aiosched.BackgroundScheduler.start`.
            StoreUnavailableError: The store does not answer; calling again is
                safe.
        """
        if self._app is None:
            message = "the scheduler has no application; call init_app(app) first"
            raise SchedulerStateError(message)
        with self._starting:
            life = self._life()
            waits = life.home is not None and self._serving != os.getpid()
            if waits and not life.closed and self.scheduler.run_jobs:
                if not paused:
                    self.release()
            else:
                super().start(paused=paused)
            self._serving = os.getpid()

    # -- the context ---------------------------------------------------------

    def _around(
        self, call: Callable[..., Any], kind: Literal["coroutine", "thread"]
    ) -> Callable[..., Any]:
        """Surround the calls of an executor with the application's context."""
        if kind == "coroutine":

            @functools.wraps(call)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with self._here().app_context():
                    return await call(*args, **kwargs)

            return awaited

        @functools.wraps(call)
        def called(*args: Any, **kwargs: Any) -> Any:
            with self._here().app_context():
                return call(*args, **kwargs)

        return called

    def _here(self) -> Flask:
        if self._app is None:
            message = "the scheduler has no application; call init_app(app) first"
            raise SchedulerStateError(message)
        return self._app

    def _inside(self, handler: Callable[[T], Any]) -> Callable[[T], Any]:
        callable_of("handler", handler)
        kind: Literal["coroutine", "thread"] = "thread"
        if inspect.iscoroutinefunction(handler):
            kind = "coroutine"
        return self._around(handler, kind)

    def on(self, name: str, handler: Handler) -> Callable[[], None]:
        """Call a function for this peer's events, in the application's context.

        All else as :meth:`aiosched.BackgroundScheduler.on`.
        """
        return super().on(name, self._inside(handler))

    def on_missed(self, handler: Handler) -> Callable[[], None]:
        """Call a function for slots that were not run in time, in the context.

        All else as :meth:`aiosched.BackgroundScheduler.on_missed`.
        """
        return super().on_missed(self._inside(handler))

    def add_done_callback(
        self, callback: DoneCallback, job: Job | str | None = None
    ) -> Callable[[], None]:
        """Call back for each final outcome from now on, in the context.

        All else as :meth:`aiosched.BackgroundScheduler.add_done_callback`.
        """
        return super().add_done_callback(self._inside(callback), job)

    # -- tasks ---------------------------------------------------------------

    def task(
        self, trigger: Trigger | str | None = None, **words: Any
    ) -> Callable[[F], F]:
        """Register a function and declare a job for it, in one decorator.

        Before the application is known, its defaults are waited for.  It may be
        stacked: each adds a job with an ``id`` of its own.

        Args:
            trigger: A trigger; or the word of a kind, such as ``"interval"``,
                with its fields among the words; None: with ``keyword=``.
            **words: Fields of the trigger, and every option of
                :class:`aiosched.Job`; ``id`` is the function's name unless it
                is given.

        Returns:
            A decorator that returns the function as it was.

        Raises:
            InvalidInputError: A word that there is not, or that cannot be used.
            SchedulerStateError: The scheduler has been started already.
        """
        given = dict(words) if trigger is None else {**words, "trigger": trigger}
        found, options = split_words(given)
        for name in ("executor", "func"):
            if name in options:
                raise ConfigurationError(
                    name, options[name], "is the function that is decorated", "leave it"
                )
        Job("any", trigger=found, **options)

        def decorate(function: F) -> F:
            executor_name(function)
            self._tasks.append((function, given))
            if self._app is not None:
                self._declare_task(function, given)
            return function

        return decorate

    def _declare_task(
        self, function: Callable[..., Any], words: dict[str, Any]
    ) -> None:
        trigger, options = split_words(words, tz=self._settings.tz)
        values: Any = {**self._settings.defaults, **options}
        self.job(trigger, **values)(function)
