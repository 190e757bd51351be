"""Environments: which there are, what each inherits, and what comes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiosched.config.mistakes import nearest
from aiosched.config.sources import Key, Source, key_text
from aiosched.errors import ConfigFileError, ConfigurationError

__all__ = ["chosen_layers", "environments", "laid_over"]

INHERITS = "inherits"


def environments(source: Source) -> list[str]:
    """Return the names of the environments of a file.

    Raises:
        ConfigFileError: ``env`` is no table of tables.
    """
    found = source.data.get("env", {})
    remedy = "write [env.dev], and what differs there"
    if not isinstance(found, Mapping):
        raise _refused(source, ("env",), found, "is no table", remedy)
    for name, layer in found.items():
        if not isinstance(layer, Mapping):
            raise _refused(source, ("env", name), layer, "is no table", remedy)
        if "env" in layer:
            raise _refused(
                source,
                ("env", name, "env"),
                "…",
                "an environment within an environment",
                f'write [env.other] and {INHERITS} = "{name}" in it',
            )
    return list(found)


def chosen_layers(
    source: Source, env: object, said: str
) -> list[tuple[Key, Mapping[str, Any]]]:
    """Return what is laid over each other, the base first.

    Args:
        source: The file.
        env: The environment; None: the base alone.
        said: Where its name comes from, for the error.

    Raises:
        ConfigFileError: There is no such environment, or it inherits from one that
            there is not, or from itself in the end.
    """
    names = environments(source)
    base = {name: value for name, value in source.data.items() if name != "env"}
    layers: list[tuple[Key, Mapping[str, Any]]] = []
    chain: list[str] = []
    key: Key = (said,)
    while env is not None:
        if not isinstance(env, str) or env not in names:
            raise _unknown(source, key, env, names)
        if env in chain:
            way = " → ".join((*chain[chain.index(env) :], env))
            remedy = f"take away one {INHERITS}"
            problem = f"an environment inherits from itself: {way}"
            raise _refused(source, key, env, problem, remedy)
        chain.append(env)
        layer = dict(source.data["env"][env])
        key = ("env", env, INHERITS)
        following = layer.pop(INHERITS, None)
        layers.insert(0, (("env", env), layer))
        env = following
    return [((), base), *layers]


def _unknown(
    source: Source, key: Key, env: object, names: list[str]
) -> ConfigFileError:
    has = ", ".join(names) if names else "none"
    like = nearest(env, names) if isinstance(env, str) else None
    remedy = f"use one of its environments: {has}"
    if like is not None:
        remedy += f"; did you mean {like}?"
    return _refused(source, key, env, "there is no such environment", remedy)


def _refused(
    source: Source, key: Key, value: object, problem: str, remedy: str
) -> ConfigFileError:
    error = ConfigurationError(key_text(key), value, problem, remedy)
    return ConfigFileError(source.name, [(source.where(key), error)])


def laid_over(
    layers: list[tuple[Key, Mapping[str, Any]]],
    own: Callable[[Mapping[str, Any]], Iterable[str]],
) -> tuple[dict[str, Any], dict[Key, Key]]:
    """Lay tables over each other: tables are joined, all else is replaced.

    Args:
        layers: Each with its place in the file, the base first.
        own: Which words of the jobs below a table of words puts out of force.

    Returns:
        The data; and for each key of it where it stands in the file.
    """
    origins: dict[Key, Key] = {}

    def join(parts: list[tuple[Key, Mapping[str, Any]]], at: Key) -> dict[str, Any]:
        joined: dict[str, Any] = {}
        tables: dict[str, list[tuple[Key, Mapping[str, Any]]]] = {}
        for origin, part in parts:
            if at[:1] in (("jobs",), ("defaults",)):
                for name in own(part):
                    joined.pop(name, None)
                    tables.pop(name, None)
            for name, value in part.items():
                origins[(*at, name)] = (*origin, name)
                if isinstance(value, Mapping):
                    tables.setdefault(name, []).append(((*origin, name), value))
                else:
                    tables.pop(name, None)
                joined[name] = value
        for name, these in tables.items():
            joined[name] = join(these, (*at, name))
        return joined

    return join(layers, ()), origins
