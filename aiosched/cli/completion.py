"""Completion scripts, made of the parser, so that they know every word it knows.

A script is a table and a few lines that look into it: nothing is started while
somebody types, and nothing that a store holds can get into a shell.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["script", "words_of"]

_FILES = frozenset(("FILE", "PATH", "FOLDER"))


@dataclass(frozen=True, slots=True)
class Option:
    """An option or a positional word of a command.

    Attributes:
        names: ``--store`` and the like; empty for a positional word.
        choices: What it takes, where that is a closed list.
        takes: Whether a value follows.
        files: Whether that value is the name of a file.
        help: What it is for, in a few words.
    """

    names: tuple[str, ...]
    choices: tuple[str, ...]
    takes: bool
    files: bool
    help: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command with its words."""

    name: str
    help: str
    options: tuple[Option, ...]


def words_of(top: argparse.ArgumentParser) -> list[Command]:
    """Return the commands that are listed, and what each takes."""
    return [
        Command(name, help_, tuple(_options(command)))
        for name, help_, command in _commands(top)
    ]


def script(shell: str, top: argparse.ArgumentParser) -> str:
    """Return the script of ``bash``, ``zsh`` or ``fish``."""
    make = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]
    return make(words_of(top), tuple(_options(top)))


def _commands(
    top: argparse.ArgumentParser,
) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for listed in action._get_subactions():
                yield listed.dest, listed.help or "", action.choices[listed.dest]


def _options(command: argparse.ArgumentParser) -> Iterator[Option]:
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        names = tuple(action.option_strings)
        choices = tuple(map(str, action.choices or ()))
        metavar = action.metavar if isinstance(action.metavar, str) else ""
        short = (action.help or "").partition(";")[0].partition(" (")[0]
        lazy = isinstance(action, argparse._HelpAction)
        takes = action.nargs != 0 and not lazy
        yield Option(names, choices, takes, metavar in _FILES, short)


def _quoted(words: Iterator[str] | tuple[str, ...]) -> str:
    return " ".join(words)


# -- bash ---------------------------------------------------------------------------

_BASH = """\
# bash completion for aiosched; made by `aiosched completion bash`
_aiosched() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="" command="" words="" i
    ((COMP_CWORD > 0)) && before="${{COMP_WORDS[COMP_CWORD - 1]}}"
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ "${{COMP_WORDS[i]}}" != -* ]]; then
            command="${{COMP_WORDS[i]}}"
            break
        fi
    done
    COMPREPLY=()
    case "$command $before" in
{values}
    esac
    case "$command" in
{options}
    esac
    while IFS= read -r i; do
        COMPREPLY+=("$i")
    done < <(compgen -W "$words" -- "$word")
    if [[ "$word" != -* && "$files" == yes ]]; then
        while IFS= read -r i; do
            COMPREPLY+=("$i")
        done < <(compgen -f -- "$word")
    fi
}}
complete -o filenames -F _aiosched aiosched
"""


def _bash(commands: list[Command], top: tuple[Option, ...]) -> str:
    values: list[str] = []
    options: list[str] = []
    for command in commands:
        for option in command.options:
            for name in option.names:
                line = _bash_value(option)
                if line:
                    values.append(
                        f"        {shlex.quote(f'{command.name} {name}')}) {line} ;;"
                    )
        free = [option for option in command.options if not option.names]
        words = [n for o in command.options for n in o.names if n.startswith("--")]
        words += [choice for option in free for choice in option.choices]
        files = "yes" if any(option.files for option in free) else "no"
        options.append(
            f"        {command.name}) words={shlex.quote(_quoted(tuple(words)))}; "
            f"files={files} ;;"
        )
    names = [command.name for command in commands]
    names += [n for option in top for n in option.names if n.startswith("--")]
    options.append(f"        '') words={shlex.quote(_quoted(tuple(names)))} ;;")
    text = _BASH.format(values="\n".join(values), options="\n".join(options))
    return text.replace('words="" i\n', 'words="" files="no" i\n')


def _bash_value(option: Option) -> str:
    if option.choices:
        wanted = shlex.quote(" ".join(option.choices))
        return f'COMPREPLY=($(compgen -W {wanted} -- "$word")); return'
    if option.files:
        return 'COMPREPLY=($(compgen -f -- "$word")); return'
    return "return" if option.takes else ""


# -- zsh ----------------------------------------------------------------------------


def _zsh(commands: list[Command], top: tuple[Option, ...]) -> str:
    lines = [
        "#compdef aiosched",
        "# zsh completion for aiosched; made by `aiosched completion zsh`",
        "_aiosched() {",
        "    local -a commands",
        "    commands=(",
        *(
            f"        {shlex.quote(f'{one.name}:{_plain(one.help)}')}"
            for one in commands
        ),
        "    )",
        "    local curcontext=$curcontext state line",
        f"    _arguments -C {_zsh_all(top)} '1:command:->command' '*::word:->word'",
        "    case $state in",
        "        command) _describe command commands ;;",
        "        word)",
        "            case $words[1] in",
        *(
            f"                {one.name}) _arguments {_zsh_all(one.options)} ;;"
            for one in commands
        ),
        "            esac ;;",
        "    esac",
        "}",
        'if [[ $funcstack[1] == _aiosched ]]; then _aiosched "$@"',
        "else compdef _aiosched aiosched; fi",
    ]
    return "\n".join(lines) + "\n"


def _zsh_all(options: tuple[Option, ...]) -> str:
    return " ".join(word for option in options for word in _zsh_words(option))


def _zsh_words(option: Option) -> Iterator[str]:
    action = "_files" if option.files else ""
    if option.choices:
        action = f"({' '.join(option.choices)})"
    if not option.names:
        if option.takes:
            yield shlex.quote(f"*:{_plain(option.help) or 'word'}:{action or ' '}")
        return
    for name in option.names:
        value = f":value:{action or ' '}" if option.takes else ""
        yield shlex.quote(f"*{name}[{_plain(option.help)}]{value}")


def _plain(text: str) -> str:
    """Leave out what zsh would take for a part of its own grammar."""
    return "".join(char for char in text if char not in "[]:\\'`$\"")


# -- fish ---------------------------------------------------------------------------


def _fish(commands: list[Command], top: tuple[Option, ...]) -> str:
    none = "not __fish_seen_subcommand_from " + " ".join(one.name for one in commands)
    lines = ["# fish completion for aiosched; made by `aiosched completion fish`"]
    lines += [
        f"complete -c aiosched -f -n {_fish_text(none)} -a {one.name} "
        f"-d {_fish_text(one.help)}"
        for one in commands
    ]
    lines += [_fish_line(option, none) for option in top if option.names]
    for one in commands:
        seen = f"__fish_seen_subcommand_from {one.name}"
        lines += [
            _fish_line(option, seen)
            for option in one.options
            if option.names or option.choices
        ]
    return "\n".join(lines) + "\n"


def _fish_line(option: Option, seen: str) -> str:
    words = [f"complete -c aiosched -n {_fish_text(seen)}"]
    for name in option.names:
        kind = "-l" if name.startswith("--") else "-s"
        words.append(f"{kind} {name.lstrip('-')}")
    if option.choices:
        words.append(f"-a {_fish_text(' '.join(option.choices))}")
    if option.takes and option.names:
        words.append("-r" if option.files else "-x")
    elif not option.files:
        words.append("-f")
    words.append(f"-d {_fish_text(option.help)}")
    return " ".join(words)


def _fish_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
