"""``aiosched init`` and ``aiosched config``: files, checked and shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

from aiosched.cli.app import CannotError
from aiosched.cli.printable import printable
from aiosched.config import Config
from aiosched.config.filling import Filled
from aiosched.config.mistakes import discreet
from aiosched.config.model import options_of
from aiosched.config.template import init_text
from aiosched.errors import ConfigFileError, ConfigurationError
from aiosched.stores import masked

__all__ = ["check_config", "loaded", "show_config", "shown_config", "write_file"]


def write_file(name: str, *, force: bool) -> int:
    """Write a file to begin with.

    Returns:
        0.

    Raises:
        CannotError: There is a file of that name already, or it cannot be written.
    """
    if Path(name).suffix != ".toml":
        raise CannotError(f"{name}: init writes TOML; name the file *.toml")
    try:
        with Path(name).open("w" if force else "x", encoding="utf-8") as file:
            file.write(init_text())
    except FileExistsError:
        raise CannotError(
            f"{name} is there already; --force replaces it, or name another file"
        ) from None
    except OSError as error:
        raise CannotError(f"{name} cannot be written: {error.strerror}") from None
    print(f"wrote {name}; check it with: aiosched config check {name}")
    return 0


def loaded(file: str | None, env: str | None, **arguments: Any) -> Config:
    """Return a configuration.

    Raises:
        CannotError: Something in it cannot be used; the text says everything.
    """
    try:
        return Config.load(file, env=env, **arguments)
    except ConfigurationError as error:
        raise CannotError(_lines(error)) from None


def _lines(error: ConfigurationError) -> str:
    return "\n".join(printable(line) for line in str(error).splitlines())


def check_config(file: str | None, env: str | None, *, as_json: bool) -> int:
    """Say whether a configuration is right, or all that is wrong with it.

    Returns:
        0 if it is right, 1 if not.
    """
    try:
        config = Config.load(file, env=env)
    except ConfigFileError as error:
        if as_json:
            _print_mistakes(error)
        else:
            print(_lines(error))
        return 1
    if as_json:
        print(json.dumps({"ok": True, "source": config.source, "mistakes": []}))
        return 0
    off = sum(1 for job in config.jobs if job.off)
    env_text = "" if config.env is None else f", environment {config.env}"
    count = "1 job" if len(config.jobs) == 1 else f"{len(config.jobs)} jobs"
    print(f"{config.source}: ok{env_text}, {count}{f', {off} off' * bool(off)}")
    return 0


def _print_mistakes(error: ConfigFileError) -> None:
    mistakes = [
        {
            "where": where,
            "field": each.field,
            "problem": each.problem,
            "remedy": each.remedy,
            "text": str(each),
        }
        for where, each in error.mistakes
    ]
    told = {"ok": False, "source": error.source, "mistakes": mistakes}
    print(json.dumps(told, indent=2, ensure_ascii=False))


def show_config(file: str | None, env: str | None, *, as_json: bool) -> int:
    """Print the settings that hold, without secrets.

    Returns:
        0.

    Raises:
        CannotError: Something in it cannot be used.
    """
    config = loaded(file, env)
    told = shown_config(config)
    if as_json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return 0
    env_text = "" if config.env is None else f", environment {config.env}"
    print(printable(f"# {config.source}{env_text}"))
    for section in ("scheduler", "run", "values"):
        print(f"\n[{section}]")
        for name, value in told[section].items():
            print(printable(f"{name} = {json.dumps(value, ensure_ascii=False)}"))
    for job_id, words in told["jobs"].items():
        print(printable(f"\n[jobs.{json.dumps(job_id, ensure_ascii=False)}]"))
        for name, value in words.items():
            print(printable(f"{name} = {json.dumps(value, ensure_ascii=False)}"))
    return 0


def shown_config(config: Config) -> dict[str, Any]:
    """Return a configuration as JSON values, without secrets."""
    told: dict[str, Any] = {"source": config.source, "env": config.env}
    for settings in (config.scheduler, config.run):
        section: dict[str, Any] = {}
        for name, option in options_of(type(settings)).items():
            value = getattr(settings, name)
            section[name] = (
                masked(value) if option.secret and value is not None else _plain(value)
            )
        told[settings.section] = section
    told["values"] = _plain(
        {name: discreet(name, each) for name, each in config.values.items()}
    )
    told["others"] = list(config.others)
    told["jobs"] = {}
    for job in config.jobs:
        trigger = job.job.trigger
        words = {
            "executor": job.job.executor,
            "when": None if trigger is None else trigger.describe(),
            "keyword": job.job.keyword,
            "off": job.off,
        }
        told["jobs"][job.id] = {name: value for name, value in words.items() if value}
    return told


def _plain(value: Any) -> Any:
    if isinstance(value, Filled):
        return value.written
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
