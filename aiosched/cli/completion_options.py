"""The words of ``aiosched completion``."""

from __future__ import annotations

import argparse

from aiosched.cli.words import Commands, explained

__all__ = ["SHELLS", "add_completion"]

SHELLS = ("bash", "zsh", "fish")


def add_completion(commands: Commands) -> None:
    """Add the command to the command line."""
    command = explained(
        commands,
        "completion",
        "print what makes a shell complete the words of aiosched",
        "bash > ~/.local/share/bash-completion/completions/aiosched",
        "zsh > ~/.zfunc/_aiosched",
        "fish > ~/.config/fish/completions/aiosched.fish",
        more="It needs nothing of aiosched later but the words, and asks no store.",
    )
    command.add_argument("shell", choices=SHELLS)
    command.set_defaults(command=_completion)


def _completion(words: argparse.Namespace) -> int:
    from aiosched.cli.app import parser
    from aiosched.cli.completion import script

    print(script(words.shell, parser()), end="")
    return 0
