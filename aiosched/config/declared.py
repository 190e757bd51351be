"""Jobs that a file or a list declares: read, checked, and not imported yet."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aiosched.config.filling import Filled, hidden_in, plain
from aiosched.config.mistakes import Mistakes, unknown_key
from aiosched.config.sources import Key, Source, key_text
from aiosched.config.words import LEADS, TIMES, WHENS, Off, trigger_of
from aiosched.errors import ConfigurationError, InvalidInputError
from aiosched.jobs import Job, checks
from aiosched.jobs.inputs import CHECKS

__all__ = ["JOB_WORDS", "DeclaredJob", "declared_jobs", "own_words", "read_jobs"]

_OPTIONS = tuple(name for name in CHECKS if name not in ("id", "trigger", "when"))
JOB_WORDS: tuple[str, ...] = ("id", *LEADS, *sorted(TIMES), "enabled", *_OPTIONS)
"""Every word that a job may have."""
_KEPT = frozenset(("args", "kwargs", "meta"))
"""What goes on hiding what was filled in, and is no number by looking like one."""
_TEXTS = frozenset(("executor", "keyword", "queue", "note", "tags"))


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class DeclaredJob:
    """A job as it was declared.

    Attributes:
        job: Its executor is a name, or an import path that nobody has followed yet.
        field: Where it was declared, such as ``jobs.nightly``.
        off: Why it is switched off; empty: it is on.
        hidden: Fields that hold what may be secret.
    """

    job: Job
    field: str = dataclasses.field(compare=False)
    off: str = ""
    hidden: frozenset[str] = dataclasses.field(default=frozenset(), compare=False)

    def __repr__(self) -> str:
        """Leave out what may be secret."""
        off = f", off={self.off!r}" if self.off else ""
        return f"DeclaredJob({self.id!r}, executor={self.job.executor!r}{off})"

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id


def declared_jobs(
    jobs: Mapping[str, Any] | Iterable[Mapping[str, Any]],
    *,
    defaults: Mapping[str, Any] | None = None,
    name: str = "jobs",
) -> tuple[DeclaredJob, ...]:
    """Read jobs from plain data, such as a list of a framework's settings.

    Each job is a mapping: ``executor`` (the name of one, or an import path such as
    ``shop.jobs:send``), ``id``, one word that says when (``every``, ``interval``,
    ``cron``, ``rrule``, ``trigger`` or ``when``), ``enabled``, and any field of
    :class:`aiosched.Job`.  Nothing is imported.

    Args:
        jobs: By id, or a list of jobs that have one.
        defaults: Words of all jobs that do not say otherwise.
        name: What the data is called in errors.

    Raises:
        ConfigFileError: Something cannot be used; it names all that cannot.
    """
    source = Source(name, {})
    mistakes = Mistakes(source, {})
    found = read_jobs(jobs, {} if defaults is None else defaults, mistakes, (name,))
    mistakes.raise_all()
    return found


def own_words(words: Mapping[str, Any]) -> frozenset[str]:
    """Return which inherited words of when a table of words puts out of force."""
    if not any(lead in words for lead in (*LEADS, "keyword")):
        return frozenset()
    return WHENS - {"tz"}


def read_jobs(
    jobs: object, defaults: object, mistakes: Mistakes, key: Key = ("jobs",)
) -> tuple[DeclaredJob, ...]:
    """Read jobs, and note what is wrong with each."""
    if not isinstance(defaults, Mapping):
        remedy = "write a table, such as [defaults]"
        error = ConfigurationError("defaults", defaults, "is no table", remedy)
        mistakes.add(("defaults",), error)
        defaults = {}
    shared = _defaults(defaults, mistakes)
    found: dict[str, DeclaredJob] = {}
    for where, given, named in _each(jobs, mistakes, key):
        declared = _Reader(shared, mistakes, where).read(given, named)
        if declared is None:
            continue
        if declared.id in found:
            problem = f"is declared twice, at {found[declared.id].field} too"
            remedy = "give each job an id of its own"
            error = ConfigurationError("id", declared.id, problem, remedy)
            mistakes.add((*where, "id"), error)
        found[declared.id] = declared
    return tuple(found.values())


def _defaults(defaults: Mapping[str, Any], mistakes: Mistakes) -> dict[str, Any]:
    known = [word for word in JOB_WORDS if word not in ("id", "enabled")]
    shared: dict[str, Any] = {}
    for name, value in defaults.items():
        if name in known:
            shared[name] = value
            continue
        error = unknown_key(str(name), value, known, "the defaults of jobs")
        mistakes.add(("defaults", str(name)), error)
    return shared


def _each(
    jobs: object, mistakes: Mistakes, key: Key
) -> Iterator[tuple[Key, Mapping[str, Any], str | None]]:
    """Yield place, words and name of each job."""
    items: Iterable[tuple[str | int, object]]
    if isinstance(jobs, Mapping):
        items = [(str(name), each) for name, each in jobs.items()]
    elif isinstance(jobs, Iterable) and not isinstance(jobs, str | bytes):
        items = enumerate(jobs)
    else:
        remedy = "write [jobs.name] for each, or a list of them"
        mistakes.add(key, ConfigurationError("jobs", jobs, "are no jobs", remedy))
        return
    for name, each in items:
        if isinstance(each, Mapping):
            named = name if isinstance(name, str) else None
            yield (*key, name), each, named
            continue
        remedy = 'write a table: executor = "…", every = "…"'
        error = ConfigurationError(str(name), each, "is no table of words", remedy)
        mistakes.add((*key, name), error)


class _Reader:
    """Reads the words of one job."""

    def __init__(self, shared: Mapping[str, Any], mistakes: Mistakes, key: Key) -> None:
        self._shared = shared
        self._mistakes = mistakes
        self._key = key

    def read(self, given: Mapping[str, Any], named: str | None) -> DeclaredJob | None:
        """Return the job; None if something is wrong with it."""
        before = len(self._mistakes)
        words = self._laid(given)
        job_id = self._id(words, named)
        off = self._off(words)
        times = {name: words.pop(name) for name in WHENS & words.keys()}
        fields = self._fields(words)
        # What was meant for jobs without a keyword may stand in the defaults.
        shared_tz = None if "tz" in given else times.pop("tz", None)
        hidden = {name for name, value in words.items() if any(hidden_in(value))}
        try:
            trigger = trigger_of(_plain_times(times), tz=plain(shared_tz))
        except Off as reason:
            trigger, off = None, off or str(reason)
        except InvalidInputError as error:
            name = error.field.partition(".")[0].partition("[")[0]
            raw = times.get(name, times)
            self._wrong(name, error, raw=raw, inherited=name not in given)
            trigger = None
        when = times.get("when") if trigger is None else None
        if len(self._mistakes) > before:
            return None
        try:
            job = Job(**fields, id=job_id, trigger=trigger, when=plain(when))
        except InvalidInputError as error:
            self._wrong(error.field.partition(".")[0], error, raw=given)
            return None
        return DeclaredJob(job, key_text(self._key), off, frozenset(hidden))

    def _laid(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Lay the words of a job over those of all; drop what nobody knows."""
        out = own_words(given)
        words = {n: value for n, value in self._shared.items() if n not in out}
        for name, value in given.items():
            if name in JOB_WORDS:
                words[name] = value
                continue
            error = unknown_key(str(name), value, JOB_WORDS, "a job")
            self._mistakes.add((*self._key, str(name)), error)
        if "executor" not in words:
            remedy = 'write executor = "shop.jobs:send", or the name of one'
            error = ConfigurationError("executor", None, "is missing", remedy)
            self._mistakes.add((*self._key, "executor"), error)
        return words

    def _id(self, words: dict[str, Any], named: str | None) -> str:
        raw = words.pop("id", None)
        given = plain(raw)
        if named is not None and given not in (None, named):
            problem = f"the job is called {named} already"
            error = ConfigurationError("id", given, problem, "leave the id out")
            self._wrong("id", error)
        job_id = named if given is None else given
        if job_id is None:
            remedy = 'give the job an id: id = "nightly-report"'
            problem = "is missing, so each start would add another job"
            self._wrong("id", ConfigurationError("id", None, problem, remedy))
            return "-"
        try:
            return checks.identifier("id", job_id)
        except ConfigurationError as error:
            self._wrong("id", error, raw=raw)
            return "-"

    def _off(self, words: dict[str, Any]) -> str:
        raw = words.pop("enabled", True)
        value = _scalar(raw)
        if isinstance(value, bool):
            return "" if value else "enabled is false"
        problem = "is neither true nor false"
        error = ConfigurationError("enabled", raw, problem, "write one of them")
        self._wrong("enabled", error, raw=raw)
        return ""

    def _fields(self, words: Mapping[str, Any]) -> dict[str, Any]:
        """Check each field by itself, so that all mistakes are told at once."""
        fields: dict[str, Any] = {}
        for name, raw in words.items():
            value = raw if name in _KEPT else plain(_read(name, raw))
            if name == "tags" and isinstance(value, tuple):
                value = list(value)
            try:
                CHECKS[name](name, value)
            except InvalidInputError as error:
                inherited = name in self._shared and raw is self._shared[name]
                self._wrong(name, error, raw=raw, inherited=inherited)
                continue
            if value is not None:
                fields[name] = value
        fields.setdefault("executor", "-")
        return fields

    def _wrong(
        self,
        name: str,
        error: InvalidInputError,
        *,
        raw: Any = None,
        inherited: bool = False,
    ) -> None:
        from_all = inherited and name in self._shared
        key: Key = ("defaults", name) if from_all else (*self._key, name)
        self._mistakes.add(key, error, raw=raw)


def _read(name: str, raw: Any) -> Any:
    return raw if name in _TEXTS else _typed(raw)


def _plain_times(times: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(_typed(value)) for name, value in times.items()}


def _typed(value: Any) -> Any:
    """Read what was filled in as what it looks like: a number, or true or false."""
    if isinstance(value, Mapping):
        return {name: _typed(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_typed(each) for each in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if not isinstance(value, Filled):
        return value
    text = str(value).strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        read = tomllib.loads(f"it = {text}")["it"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return str(value)
    return read if isinstance(read, int | float) else str(value)
