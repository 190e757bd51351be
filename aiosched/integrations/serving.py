"""Where a web application's scheduler is to start: which process this one is.

An application is imported by many that do not serve it: the parent of a reloader,
the master of a pre-forking server, a shell, a migration, a test.  None of them is
to run jobs.  Only what servers say of themselves is looked at.
"""

from __future__ import annotations

import enum
import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from aiosched.errors import ConfigurationError

__all__ = ["Place", "after_fork", "of_command", "of_server", "reloads"]

RELOADED = "WERKZEUG_RUN_MAIN"
"""Set by the reloader of Werkzeug in the process that it starts over and over."""


class Place(enum.Enum):
    """What kind of process has imported the application."""

    SERVING = "serving"  # it serves, or is about to
    MASTER = "master"  # its children will serve
    UNKNOWN = "unknown"  # it may serve later on
    ASIDE = "aside"  # it never serves


def reloads() -> bool:
    """Return whether this is the process that a reloader starts over and over."""
    return os.environ.get(RELOADED) == "true"


def of_command() -> Place | None:
    """Return which process of the ``flask`` command this is; None: of another."""
    click, cli = sys.modules.get("click"), sys.modules.get("flask.cli")
    if click is None or cli is None:
        return None
    context = click.get_current_context(silent=True)
    if context is None or context.find_object(cli.ScriptInfo) is None:
        return None
    while context is not None:
        if context.command is cli.run_command:
            reload = context.params.get("reload")
            if reload is None:
                reload = cli.get_debug_flag()
            return Place.ASIDE if reload and not reloads() else Place.SERVING
        context = context.parent
    return Place.ASIDE


def of_server() -> Place:
    """Return which process of a server this is.

    Raises:
        ConfigurationError: uWSGI runs without threads, or gunicorn loads the
            application ahead of gevent.
    """
    if "uwsgi" in sys.modules or _embedded("uwsgi"):
        return _of_uwsgi(sys.modules["uwsgi"])
    if "gunicorn.arbiter" in sys.modules:
        return _of_gunicorn()
    if reloads() or "mod_wsgi" in sys.modules:
        return Place.SERVING
    return Place.UNKNOWN


def _embedded(name: str) -> bool:
    """Return whether the program around Python has brought a module."""
    if "uwsgi" not in (os.environ.get("UWSGI_ORIGINAL_PROC_NAME") or ""):
        return False
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _of_gunicorn() -> Place:
    # In a worker its signals are the worker's; the master has none yet when it
    # loads the application, or its own when it does so again.
    owner = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    base = sys.modules.get("gunicorn.workers.base")
    if base is not None and isinstance(owner, base.Worker):
        return Place.SERVING
    monkey = sys.modules.get("gevent.monkey")
    patched = monkey is not None and monkey.is_module_patched("threading")
    if "gunicorn.workers.ggevent" in sys.modules and not patched:
        raise ConfigurationError(
            "preload",
            True,
            "gunicorn loads the application before gevent replaces threads, "
            "sockets and locks under it",
            "leave --preload out; each worker then loads it by itself",
        )
    return Place.MASTER


def _of_uwsgi(uwsgi: Any) -> Place:
    options = {key.decode() if isinstance(key, bytes) else key for key in uwsgi.opt}
    if not options & {"enable-threads", "threads"}:
        raise ConfigurationError(
            "enable-threads",
            None,
            "uWSGI runs without threads, so nothing but requests would ever run",
            "start it with --enable-threads",
        )
    return Place.SERVING if uwsgi.worker_id() else Place.MASTER


def after_fork(then: Callable[[], object]) -> None:
    """Have something called in each child that is forked from this process.

    Not in what those fork in turn.
    """
    master = os.getpid()

    def called() -> None:
        if os.getppid() == master:
            then()

    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is None:
        os.register_at_fork(after_in_child=called)
        return
    before = getattr(uwsgi, "post_fork_hook", None)

    def hook() -> None:
        if before is not None:
            before()
        called()

    setattr(uwsgi, "post_fork_hook", hook)  # noqa: B010 - it has no types
