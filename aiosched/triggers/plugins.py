"""What other distributions add to aiosched through their entry points.

A distribution names its trigger class under the group ``aiosched.triggers``; the
class is imported when stored data first names a kind that is not known, so nobody
has to import it by hand.  Nothing else is loaded unasked.
"""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import NamedTuple

from aiosched.triggers.base import Trigger

__all__ = ["EXECUTORS", "GROUPS", "TRIGGERS", "Plugin", "find_plugins"]

TRIGGERS = "aiosched.triggers"
EXECUTORS = "aiosched.executors"
GROUPS = (TRIGGERS, "aiosched.stores", EXECUTORS)


class Plugin(NamedTuple):
    """One entry point, loaded.

    Attributes:
        group: The group under which it was found.
        name: What its distribution calls it.
        target: What it names, ``module:attribute``.
        distribution: Who brings it, with its version.
        found: What was loaded; None where there is a problem.
        problem: Why it cannot be used; None: it can.
    """

    group: str
    name: str
    target: str
    distribution: str
    found: object
    problem: str | None


@lru_cache(maxsize=16)
def find_plugins(group: str) -> tuple[Plugin, ...]:
    """Load what distributions name under a group, once a process.

    One that is broken does not keep the others from being used.

    Returns:
        Sorted by name; each entry point once, however often it is found.
    """
    from importlib.metadata import EntryPoint, entry_points

    points: dict[tuple[str, str], EntryPoint] = {}
    for point in entry_points(group=group):
        points.setdefault((point.name, point.value), point)
    plugins: list[Plugin] = []
    for (name, target), point in sorted(points.items()):
        brought = point.dist
        by = "" if brought is None else f"{brought.name} {brought.version}"
        found, problem = None, None
        try:
            found = point.load()
        except (Exception, SystemExit) as error:  # whatever its import may raise
            problem = f"{type(error).__name__}: {error}"
        if problem is None and group == TRIGGERS and not _is_trigger(found):
            found, problem = None, "it is neither a class of triggers nor a module"
        plugins.append(Plugin(group, name, target, by, found, problem))
    return tuple(plugins)


def _is_trigger(found: object) -> bool:
    if inspect.ismodule(found):
        return True  # whose classes have entered themselves by being imported
    return isinstance(found, type) and issubclass(found, Trigger)
