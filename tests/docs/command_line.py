"""The generated parts of the page about the command line.

``python -m tests.docs.command_line`` writes them into the page anew; a test holds
the page against the parser.  Made of the parser's data and not of its help text,
which looks different from one version of Python to the next.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from aiosched.cli.app import parser
from aiosched.cli.codes import MEANINGS
from tests.docs.pages import DOCS

__all__ = ["PAGE", "written"]

PAGE = DOCS / "reference" / "command-line.md"
_PART = re.compile(
    r"(<!-- made of the parser: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL
)


def written(text: str) -> str:
    """Return the page with its generated parts made anew."""
    parts = {"commands": _table, "codes": _codes, "words": _words}

    def made(found: re.Match[str]) -> str:
        return "\n".join([found[1], *parts[found[2]](), "", found[3]])

    return _PART.sub(made, text)


def _commands() -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    for action in parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            for listed in action._get_subactions():
                yield listed.dest, listed.help or "", action.choices[listed.dest]


def _options(command: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in command._actions:
        if not isinstance(action, argparse._HelpAction):
            yield action


def _table() -> Iterator[str]:
    yield "| Command | What it does | Options |"
    yield "| --- | --- | --- |"
    for name, what, command in _commands():
        long = [
            option
            for action in _options(command)
            for option in action.option_strings
            if option.startswith("--")
        ]
        words = ", ".join(f"`{option}`" for option in long)
        yield f"| `{name}` | {_sentence(what)} | {words} |"


def _codes() -> Iterator[str]:
    yield "| Exit code | Meaning |"
    yield "| --- | --- |"
    for code, meaning in MEANINGS.items():
        yield f"| {int(code)} | {meaning} |"


def _words() -> Iterator[str]:
    for number, (name, _, command) in enumerate(_commands()):
        yield from ([""] if number else [])
        yield f"### {name}"
        yield ""
        yield _sentence(re.sub(r"\s+", " ", command.description or ""))
        yield ""
        rows = [_row(action) for action in _options(command)]
        if rows:
            yield "| Word | What it says |"
            yield "| --- | --- |"
            yield from rows
        found = re.findall(r"^  (aiosched .*)$", command.epilog or "", re.MULTILINE)
        if found:
            yield from ("", "```sh", *found, "```")


def _row(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    if action.nargs == 0:
        metavar = ""
    elif not metavar:
        metavar = "|".join(map(str, action.choices or ())) or action.dest.upper()
    names = ", ".join(action.option_strings)
    word = f"{names} {metavar}".strip()
    if not action.option_strings:
        word = f"[{metavar}]" if action.nargs == "?" else metavar
        word = f"{word} ..." if action.nargs == "*" else word
    told = (action.help or "").replace("|", "\\|") or "as the field of a job"
    safe = word.replace("|", "\\|")
    return f"| `{safe}` | {told} |"


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), encoding="utf-8")
