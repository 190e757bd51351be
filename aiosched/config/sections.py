"""Settings from three places: arguments outweigh variables, those the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from aiosched.config.filling import Filled, hidden_in, plain, read_secret
from aiosched.config.mistakes import Mistakes, discreet, nearest, unknown_key
from aiosched.config.model import Option, RunSettings, SchedulerSettings, options_of
from aiosched.config.sources import Source
from aiosched.errors import ConfigurationError, InvalidInputError

__all__ = ["PREFIX", "Sections", "read_text"]

S = TypeVar("S", SchedulerSettings, RunSettings)

PREFIX = "AIOSCHED_"
"""Of the variables."""
_TERMS = f"{PREFIX}TERMS_"
_OWN = ("CONFIG", "ENV")
_LINKS = ("SERVICE_", "PORT")
"""How an orchestrator names the variables of a service called aiosched."""
_ALIKE = 0.75
"""How like a known variable another has to be, to count as misspelt."""
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def read_text(option: Option, name: str, text: str) -> Any:
    """Read a text as what a setting wants.

    Raises:
        ConfigurationError: It is no such thing.
    """
    if option.kind == "number":
        return _number(name, text, whole=True)
    if option.kind == "duration":
        return text if text[:1] in ("P", "p") else _duration(name, text)
    if option.kind == "flag":
        if text.lower() in (*_TRUE, *_FALSE):
            return text.lower() in _TRUE
        problem, remedy = "is neither true nor false", "write one of them"
        raise ConfigurationError(name, text, problem, remedy)
    if option.kind == "list":
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _duration(name: str, text: str) -> Any:
    return text if text == "none" else _number(name, text)


def _number(name: str, text: str, *, whole: bool = False) -> int | float:
    try:
        return int(text) if whole or text.isdecimal() else float(text)
    except ValueError:
        what = "a whole number" if whole else "a number of seconds"
        remedy = "write digits alone"
        raise ConfigurationError(name, text, f"is not {what}", remedy) from None


class Sections:
    """Reads the sections of settings, one after the other."""

    def __init__(
        self,
        source: Source,
        environ: Mapping[str, str],
        arguments: Mapping[str, Any],
        mistakes: Mistakes,
    ) -> None:
        """Take the places in which settings may stand."""
        self._source = source
        self._environ = environ
        self._arguments = arguments
        self._mistakes = mistakes

    def read(self, kind: type[S], section: Any) -> S:
        """Read a section; what is wrong is noted, and its default taken."""
        if not isinstance(section, Mapping):
            remedy = f"write a table: [{kind.section}]"
            error = ConfigurationError(
                kind.section, discreet("", section), "is no table", remedy
            )
            self._mistakes.add((kind.section,), error)
            section = {}
        known = options_of(kind)
        self._refuse_keys(kind, section, known)
        given: dict[str, Any] = {}
        for name, option in known.items():
            try:
                self._take(kind.section, name, option, section, given)
            except InvalidInputError as error:
                self._mistakes.add((kind.section, name), error, raw=section.get(name))
        return kind(**given)

    def _refuse_keys(
        self, kind: type[S], section: Mapping[str, Any], known: Mapping[str, Option]
    ) -> None:
        names = [*known, *(f"{n}_file" for n, one in known.items() if one.secret)]
        for name, value in section.items():
            if name not in names:
                what = f"[{kind.section}]"
                error = unknown_key(str(name), value, names, what)
                self._mistakes.add((kind.section, str(name)), error)

    def _take(
        self,
        section: str,
        name: str,
        option: Option,
        written: Mapping[str, Any],
        given: dict[str, Any],
    ) -> None:
        """Take a setting from the place of most weight."""
        variable = f"{PREFIX}{name.upper()}"
        if self._arguments.get(name) is not None:
            self._checked(given, name, option, self._arguments[name], "argument", name)
        elif self._has(variable, option):
            value = self._variable(variable, option)
            if value is not None:
                self._checked(given, name, option, value, "environment", variable)
        else:
            self._from_file(section, name, option, written, given)
        if option.kind == "table":
            self._terms(given, name, option)

    def _has(self, variable: str, option: Option) -> bool:
        # An empty variable is as good as none, as elsewhere.
        return bool(
            self._environ.get(variable)
            or (option.secret and self._environ.get(f"{variable}_FILE"))
        )

    def _variable(self, variable: str, option: Option) -> Any:
        text = self._environ.get(variable)
        try:
            if not text:
                file = self._environ[f"{variable}_FILE"]
                return _secret(file, self._source, f"{variable}_FILE")
            return read_text(option, variable, text)
        except ConfigurationError as error:
            self._mistakes.add((error.field,), error, where="environment")
            return None

    def _from_file(
        self,
        section: str,
        name: str,
        option: Option,
        written: Mapping[str, Any],
        given: dict[str, Any],
    ) -> None:
        named = f"{name}_file"
        value = written.get(name)
        if option.secret and named in written:
            if value is not None:
                problem = f"{name} is given too"
                remedy = "keep one of the two"
                error = ConfigurationError(named, written[named], problem, remedy)
                self._mistakes.add((section, named), error)
                return
            try:
                value = _secret(written[named], self._source, named)
            except ConfigurationError as error:
                self._mistakes.add((section, named), error)
                return
        if value is None:
            return
        read = value
        try:
            if isinstance(value, Filled) and option.kind not in ("text", "table"):
                read = read_text(option, name, str(value))
            given[name] = option.check(name, read)
        except InvalidInputError as error:
            self._mistakes.add((section, name), error, raw=value)

    def _checked(
        self,
        given: dict[str, Any],
        name: str,
        option: Option,
        value: Any,
        where: str,
        called: str,
    ) -> None:
        try:
            given[name] = option.check(name, value)
        except InvalidInputError as error:
            field = called + error.field.removeprefix(name)
            told = type(error)(field, error.value, error.problem, error.remedy)
            self._mistakes.add((called,), told, raw=value, where=where)

    def _terms(self, given: dict[str, Any], name: str, option: Option) -> None:
        """Lay single terms of the environment over those that are given."""
        terms: dict[str, Any] = {}
        for variable, text in self._environ.items():
            if variable.startswith(_TERMS) and text:
                word = variable.removeprefix(_TERMS).lower()
                terms[word] = int(text) if text.isdecimal() else _seconds(text)
        if terms and self._arguments.get(name) is None:
            joined = {**(given.get(name) or {}), **terms}
            self._checked(given, name, option, joined, "environment", _TERMS[:-1])

    # -- what nobody knows ------------------------------------------------------------

    def refuse_unknown(self, kinds: Iterable[type[Any]]) -> None:
        """Note arguments that there are not, and variables that look misspelt."""
        known = {
            name: option for one in kinds for name, option in options_of(one).items()
        }
        for name, value in self._arguments.items():
            if name not in known:
                error = unknown_key(name, value, known, "the settings")
                self._mistakes.add((name,), error, where="argument")
        words = [*_OWN, *(name.upper() for name in known)]
        words += [f"{n.upper()}_FILE" for n, one in known.items() if one.secret]
        for variable in self._environ:
            word = variable.removeprefix(PREFIX)
            if word == variable or word in words or word.startswith(_LINKS):
                continue
            if word.startswith("TERMS_"):
                continue
            like = nearest(word, words, likeness=_ALIKE)
            if like is not None:
                # Others may have variables of their own; these are probably not.
                problem = "is not known"
                remedy = f"did you mean {PREFIX}{like}?"
                error = ConfigurationError(variable, "…", problem, remedy)
                self._mistakes.add((variable,), error, where="environment")


def _seconds(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _secret(file: Any, source: Source, field: str) -> Filled:
    name = plain(file)
    if not isinstance(name, str) or not name or any(hidden_in(name)):
        problem, remedy = "names no file", 'write "/run/secrets/redis-url"'
        raise ConfigurationError(field, file, problem, remedy)
    text = read_secret(name, source.folder, field)
    return Filled(text, f"file:{name}", (text,))
