"""``aiosched plugins``: triggers, executors, and what other distributions add."""

from __future__ import annotations

import importlib.util
import inspect
import json
from typing import Any

from aiosched.triggers.base import trigger_class, trigger_kinds
from aiosched.triggers.plugins import GROUPS, Plugin, find_plugins

__all__ = ["plugins_data", "print_plugins"]


def print_plugins(*, as_json: bool) -> int:
    """Print what can be used, and what cannot and why.

    Returns:
        0; 1 if a plugin is broken.
    """
    data = plugins_data()
    if as_json:
        print(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        print("triggers")
        for trigger in data["triggers"]:
            print(f"  {trigger['kind']:<10} {trigger['class']}: {trigger['about']}")
        print("executors")
        for one in data["executors"]:
            where = f" ({one['class']})" if one["class"] else ""
            print(f"  {one['kind']:<10} {one['about']}{where}")
        print("plugins" if data["plugins"] else "plugins: none found")
        for one in data["plugins"]:
            print(f"  {one['group']} {one['name']} = {one['target']}", end="")
            print(f" ({one['distribution']})" if one["distribution"] else "")
            if one["problem"]:
                print(f"    broken: {one['problem']}")
    return 1 if any(one["problem"] for one in data["plugins"]) else 0


def plugins_data() -> dict[str, list[dict[str, Any]]]:
    """Return what there is as JSON values; all plugins are loaded."""
    found = [plugin for group in GROUPS for plugin in find_plugins(group)]
    return {
        "triggers": [_trigger_data(kind) for kind in trigger_kinds()],
        "executors": [
            {"kind": kind, "class": where or None, "about": about}
            for kind, where, about in _EXECUTORS
            if _is_there(where)
        ],
        "plugins": [_plugin_data(plugin) for plugin in found],
    }


_EXECUTORS = (
    ("coroutine", "", "an async function, on the event loop"),
    ("thread", "", "a plain function, in a thread"),
    ("inline", "aiosched.executors.Inline", "a plain function, on the event loop"),
    ("process", "aiosched.executors.InProcess", "a plain function, in a process"),
    ("program", "aiosched.executors.Program", "a program, and its exit code"),
    ("http", "aiosched.integrations.http.HttpRequest", "a request over HTTP"),
)


def _is_there(where: str) -> bool:
    module = where.rpartition(".")[0]
    return not module or importlib.util.find_spec(module) is not None


def _trigger_data(kind: str) -> dict[str, Any]:
    cls = trigger_class(kind)
    assert cls is not None  # noqa: S101 - the kind is one of those known
    about = (inspect.getdoc(cls) or "").partition("\n")[0]
    return {
        "kind": kind,
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "about": about,
        "builtin": cls.__module__.startswith("aiosched."),
    }


def _plugin_data(plugin: Plugin) -> dict[str, Any]:
    return {
        "group": plugin.group,
        "name": plugin.name,
        "target": plugin.target,
        "distribution": plugin.distribution or None,
        "problem": plugin.problem,
    }
