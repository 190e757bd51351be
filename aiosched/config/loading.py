"""A configuration: a file with environments, variables and arguments."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from aiosched._api import options
from aiosched.config.declared import DeclaredJob, own_words, read_jobs
from aiosched.config.filling import Filler
from aiosched.config.layers import chosen_layers, laid_over
from aiosched.config.mistakes import Mistakes, unknown_key
from aiosched.config.model import RunSettings, SchedulerSettings
from aiosched.config.sections import Sections
from aiosched.config.sources import Source, read_source
from aiosched.errors import ConfigFileError, ConfigurationError, InvalidInputError

__all__ = ["FILES", "SECTIONS", "Config", "found_file"]

FILES = ("aiosched.toml", "aiosched.yaml", "aiosched.yml")
"""Looked for in the current folder, in this order."""
SECTIONS = (
    "default_env",
    "env",
    "scheduler",
    "run",
    "values",
    "defaults",
    "jobs",
    "others",
)
"""What may stand at the top of a file."""


@dataclass(frozen=True, repr=False)
class Config:
    """What a file, the environment and arguments say; it never changes.

    Two are equal if they mean the same, wherever they come from.

    Attributes:
        scheduler: The settings of the scheduler.
        run: The settings of ``aiosched run``.
        values: Your own values, read only; lists are tuples.
        jobs: The jobs that are declared, those that are off included.
        others: Patterns of the ids of jobs that are declared elsewhere.
        env: The environment that was chosen; None: none.
        source: The file; ``configuration`` if there is none.
        folder: From which relative names are meant.
    """

    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)
    run: RunSettings = field(default_factory=RunSettings)
    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    jobs: tuple[DeclaredJob, ...] = ()
    others: tuple[str, ...] = ()
    env: str | None = field(default=None, compare=False)
    source: str = field(default="configuration", compare=False)
    folder: Path = field(default_factory=Path, compare=False)

    def __repr__(self) -> str:
        """Say where it comes from; values may be secret."""
        env = f", env={self.env!r}" if self.env is not None else ""
        return f"<Config of {self.source}{env}, {len(self.jobs)} jobs>"

    def __hash__(self) -> int:
        return hash((self.scheduler, self.run.app, self.others))

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        env: str | None = None,
        environ: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> Self:
        """Read a configuration; an argument outweighs a variable, that the file.

        Args:
            path: A TOML or YAML file.  None: what ``AIOSCHED_CONFIG`` names, else
                ``aiosched.toml``, ``aiosched.yaml`` or ``aiosched.yml`` in the
                current folder, else no file.
            env: The environment of the file; None: what ``AIOSCHED_ENV`` names, else
                the file's ``default_env``, else none.  An empty text: none.
            environ: The variables; None: those of the process.
            **arguments: Settings by name, such as ``namespace="shop"``.

        Raises:
            ConfigFileError: The file cannot be read, there is no such environment,
                or something in it cannot be used; it names all that cannot.
        """
        variables = os.environ if environ is None else environ
        file = found_file(variables) if path is None else Path(path)
        source = Source("configuration", {}) if file is None else read_source(file)
        return cls._read(source, env, variables, arguments)

    @classmethod
    def from_data(
        cls,
        data: Mapping[str, Any],
        *,
        env: str | None = None,
        environ: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> Self:
        """Read what a file would hold, as plain data.

        Args:
            data: Tables as mappings, as TOML would be read.
            env: As for :meth:`load`.
            environ: The variables; None: none.
            **arguments: As for :meth:`load`.

        Raises:
            ConfigFileError: As for :meth:`load`.
        """
        if not isinstance(data, Mapping):
            raise ConfigurationError(
                "data", data, "is not a mapping", 'give {"scheduler": {…}}'
            )
        return cls._read(Source("configuration", data), env, environ or {}, arguments)

    @classmethod
    def _read(
        cls,
        source: Source,
        env: str | None,
        environ: Mapping[str, str],
        arguments: Mapping[str, Any],
    ) -> Self:
        try:
            return cls._laid(source, env, environ, arguments)
        except RecursionError:
            problem, remedy = "is nested too deeply", "make it flatter"
            error = ConfigurationError("config", source.name, problem, remedy)
            raise ConfigFileError(source.name, [("", error)]) from None

    @classmethod
    def _laid(
        cls,
        source: Source,
        env: str | None,
        environ: Mapping[str, str],
        arguments: Mapping[str, Any],
    ) -> Self:
        said, chosen = "env", env
        if chosen is None:
            said, chosen = "AIOSCHED_ENV", environ.get("AIOSCHED_ENV") or None
        if chosen is None:
            said, chosen = "default_env", source.data.get("default_env")
        if chosen == "":
            chosen = None
        layers = chosen_layers(source, chosen, said)
        data, origins = laid_over(layers, own_words)
        mistakes = Mistakes(source, origins)
        filler = Filler(environ, source.folder, mistakes.add)
        data = {
            name: filler.fill(part, (name,))
            for name, part in data.items()
            if name != "default_env"
        }
        for name in data:
            if name not in SECTIONS:
                error = unknown_key(name, data[name], SECTIONS, "a configuration")
                mistakes.add((name,), error)
        sections = Sections(source, environ, arguments, mistakes)
        scheduler = sections.read(SchedulerSettings, data.get("scheduler", {}))
        run = sections.read(RunSettings, data.get("run", {}))
        sections.refuse_unknown((SchedulerSettings, RunSettings))
        _agree(scheduler, mistakes)
        values = _values(data.get("values", {}), mistakes)
        others = _patterns(data.get("others", ()), mistakes)
        jobs = read_jobs(data.get("jobs", {}), data.get("defaults", {}), mistakes)
        mistakes.raise_all()
        return cls(
            scheduler, run, values, jobs, others, chosen, source.name, source.folder
        )


def found_file(environ: Mapping[str, str]) -> Path | None:
    """Return the file that the environment or the current folder has."""
    named = environ.get("AIOSCHED_CONFIG")
    if named:
        return Path(named)
    return next((Path(name) for name in FILES if Path(name).is_file()), None)


def _agree(settings: SchedulerSettings, mistakes: Mistakes) -> None:
    """Compare settings with each other that are right by themselves."""
    try:
        options.terms_of(settings.terms, settings.lease)
    except InvalidInputError as error:
        mistakes.add(("scheduler", "terms"), error)


def _values(given: Any, mistakes: Mistakes) -> Mapping[str, Any]:
    if isinstance(given, Mapping):
        frozen = _frozen(given)
        return frozen if isinstance(frozen, Mapping) else {}
    remedy = "write a table: [values]"
    mistakes.add(
        ("values",), ConfigurationError("values", given, "is no table", remedy)
    )
    return {}


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({str(k): _frozen(each) for k, each in value.items()})
    if isinstance(value, list | tuple):
        return tuple(_frozen(each) for each in value)
    return value


def _patterns(given: Any, mistakes: Mistakes) -> tuple[str, ...]:
    patterns = () if isinstance(given, str) else given
    if isinstance(given, Iterable) and all(isinstance(one, str) for one in patterns):
        return (given,) if isinstance(given, str) else tuple(given)
    remedy = 'write a list of ids, such as ["shipping-*"]'
    error = ConfigurationError("others", given, "are no patterns of ids", remedy)
    mistakes.add(("others",), error)
    return ()
