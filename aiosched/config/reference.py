"""The tables of the reference page of settings, made of the settings themselves."""

from __future__ import annotations

from aiosched.config.template import settings_rows

__all__ = ["settings_table"]


def settings_table() -> str:
    """Return the table of all settings, in Markdown."""
    lines = ["| Key | Variable | Default | Meaning |", "| --- | --- | --- | --- |"]
    for key, variable, default, meaning in settings_rows():
        lines.append(f"| `{key}` | `{variable}` | {default} | {meaning} |")
    return "\n".join(lines)
