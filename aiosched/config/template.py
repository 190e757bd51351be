"""The file that ``aiosched init`` writes: every setting, explained."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, fields
from datetime import timedelta
from typing import Any

from aiosched.config.model import Option, RunSettings, SchedulerSettings

__all__ = ["default_text", "init_text", "settings_rows"]

_WIDTH = 88
_TOP = """\
# The configuration of aiosched.  `aiosched config check` says what is wrong with it.
#
# An argument outweighs a variable (AIOSCHED_NAMESPACE), that this file.
# ${NAME}, ${NAME:-default} and ${file:/run/secrets/name} are filled in, and are never
# shown; $$ is a dollar sign.

default_env = "dev"
"""
_BOTTOM = """\
# Your own values, for your own code: config.values["base_url"].
[values]
# base_url = "${API_BASE_URL:-http://localhost:8000}"

# Words of all jobs that do not say otherwise.
[defaults]
tz = "UTC"
# retry = { attempts = 3, delay = 10 }

# Jobs by their ids.  Beside what is shown here each may have any parameter of a Job.
#
# [jobs.send-invoices]
# executor = "shop.jobs:send_invoices"   # module:function, or the name of an executor
# every = "10 minutes"                   # or "day", with at = "10:30"; or "monday"
# kwargs = { limit = 100 }
#
# [jobs.nightly-report]
# executor = "shop.jobs:report"
# cron = "0 9 * * mon-fri"
# tz = "Europe/Paris"
#
# [jobs.news]
# executor = "shop.jobs:news"
# interval = "${NEWS_INTERVAL:-600}"     # seconds; a negative number means off
# enabled = true

# What differs in an environment: --env, or AIOSCHED_ENV.
[env.dev]

[env.test]
inherits = "dev"

[env.test.scheduler]
namespace = "aiosched-test"

[env.prod.scheduler]
# store_file = "/run/secrets/redis-url"
"""


def init_text() -> str:
    """Return a file that is right as it is, and says what else can be set."""
    parts = [_TOP]
    for kind in (SchedulerSettings, RunSettings):
        lines = [f"[{kind.section}]"]
        for name, option, default in _settings(kind):
            lines += _comment(f"{_unlinked(option.meaning)} Default: {default}.")
            lines += [f"# {name} = {option.example}", ""]
        parts.append("\n".join(lines))
    return "\n".join([*parts, _BOTTOM])


def settings_rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield key, variable, default and meaning of each setting, for the reference."""
    for kind in (SchedulerSettings, RunSettings):
        for name, option, default in _settings(kind):
            variable = f"AIOSCHED_{name.upper()}"
            if option.kind == "table":
                variable += "_…"
            yield f"{kind.section}.{name}", variable, default, option.meaning


def _settings(kind: type[Any]) -> Iterator[tuple[str, Option, str]]:
    for one in fields(kind):
        default = None if one.default is MISSING else one.default
        yield one.name, one.metadata["option"], default_text(default)


def default_text(value: object) -> str:
    """Write a default as people do."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    return str(value)


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH - 2)]


def _unlinked(text: str) -> str:
    """Return Markdown without its links."""
    before, mark, _ = text.partition("; see [")
    return f"{before}." if mark else text
