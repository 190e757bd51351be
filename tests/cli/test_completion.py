"""Completion: real shells complete every word that the parser knows."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from aiosched.cli.app import main, parser
from aiosched.cli.completion import script, words_of
from aiosched.cli.completion_options import SHELLS

_BASH = """
source {script}
while IFS= read -r line; do
    read -ra COMP_WORDS <<< "$line"
    [[ "$line" == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
    _aiosched
    echo "${{COMPREPLY[*]}}"
done
"""


@pytest.mark.parametrize("shell", SHELLS)
def test_every_word_is_in_the_script(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(("completion", shell)) == 0
    text = capsys.readouterr().out
    assert text == script(shell, parser())
    for command in words_of(parser()):
        assert command.name in text
        for option in command.options:
            for name in option.names:
                assert name.lstrip("-") in text, (command.name, name)
    assert "demo-peer" not in text


def complete(folder: Path, *lines: str) -> list[list[str]]:
    path = folder / "aiosched.bash"
    path.write_text(script("bash", parser()), encoding="utf-8")
    done = subprocess.run(
        ["bash", "--norc", "-uec", _BASH.format(script=path)],
        input="".join(f"{line}\n" for line in lines),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes(tmp_path: Path) -> None:
    (tmp_path / "jobs.json").touch()
    found = complete(
        tmp_path,
        "aiosched re",
        "aiosched schedule --on-conflict re",
        "aiosched jobs --st",
        "aiosched completion ",
        "aiosched import jo",
        "aiosched import --store ",
        "aiosched schema m",
        "aiosched nothing --x",
        "aiosched --ver",
        "aiosched run --log-level w",
        "aiosched export -o j",
    )
    assert found == [
        ["resume", "remove", "results"],
        ["replace"],
        ["--store", "--state"],
        ["--help", *SHELLS],
        ["jobs.json"],
        [],
        ["message"],
        [],
        ["--version"],
        ["warning"],
        ["jobs.json"],
    ]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_every_command(tmp_path: Path) -> None:
    commands = words_of(parser())
    lines = [f"aiosched {command.name} --" for command in commands]
    for command, found in zip(commands, complete(tmp_path, *lines), strict=True):
        known = {n for o in command.options for n in o.names if n.startswith("--")}
        assert set(found) == known, command.name


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_fish_completes(tmp_path: Path) -> None:
    path = tmp_path / "aiosched.fish"
    path.write_text(script("fish", parser()), encoding="utf-8")
    asked = (
        'complete -C "aiosched re"; complete -C "aiosched schedule --on-conflict re"; '
        'complete -C "aiosched jobs --sta"'
    )
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {path}; {asked}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    words = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert words == ["remove", "results", "resume", "replace", "--state"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
def test_zsh_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "_aiosched"
    path.write_text(script("zsh", parser()), encoding="utf-8")
    code = (
        f"fpath=({tmp_path} $fpath); autoload -U compinit; compinit -u -D; "
        f"source {path}; print $_comps[aiosched]; which _aiosched | wc -l"
    )
    done = subprocess.run(
        ["zsh", "-fc", code], capture_output=True, text=True, timeout=30, check=True
    )
    name, lines = done.stdout.split()
    assert name == "_aiosched"
    assert int(lines) > len(words_of(parser()))
    assert done.stderr == ""
