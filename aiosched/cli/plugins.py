"""``aiosched plugins``: the kinds of triggers, and what other distributions add."""

from __future__ import annotations

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
        print("plugins" if data["plugins"] else "plugins: none found")
        for one in data["plugins"]:
            print(f"  {one['group']} {one['name']} = {one['target']}", end="")
            print(f" ({one['distribution']})" if one["distribution"] else "")
            if one["problem"]:
                print(f"    broken: {one['problem']}")
    return 1 if any(one["problem"] for one in data["plugins"]) else 0


def plugins_data() -> dict[str, list[dict[str, Any]]]:
    """Return triggers and plugins as JSON values; all plugins are loaded."""
    found = [plugin for group in GROUPS for plugin in find_plugins(group)]
    return {
        "triggers": [_trigger_data(kind) for kind in trigger_kinds()],
        "plugins": [_plugin_data(plugin) for plugin in found],
    }


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
