"""An environment for each peer, so that no two share a version of anything."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.harness.contenders import Variant
from benchmarks.harness.places import ROOT, environments

_LIMIT = 300.0


class InstallError(Exception):
    """What a peer needs cannot be had here."""


_failed: dict[str, str] = {}


def python_of(variant: Variant) -> Path:
    """Return the Python that has a peer, making its environment if need be.

    Raises:
        InstallError: With the reason, which is printed instead of figures.
    """
    requirements = variant.folder / "requirements.txt"
    home = environments() / _environment(variant)
    python = home / "bin" / "python"
    wanted = hashlib.sha256(
        requirements.read_bytes()
        + f"{sys.version} {ROOT if variant.tree else None}".encode()
    ).hexdigest()
    ready = home / "ready"
    if ready.exists() and ready.read_text() == wanted:
        return python
    if str(home) in _failed:
        raise InstallError(_failed[str(home)])
    shutil.rmtree(home, ignore_errors=True)
    words = ["-r", str(requirements)]
    if variant.tree:
        words += ["-e", f"{ROOT}[hiredis]"]
    print(f"+ installing {variant.title}", flush=True)
    try:
        _install(home, python, words)
    except subprocess.SubprocessError as error:
        said = getattr(error, "stderr", None) or str(error)
        _failed[str(home)] = f"cannot be installed: {said.strip()[-300:]}"
        raise InstallError(_failed[str(home)]) from None
    ready.write_text(wanted)
    return python


def _environment(variant: Variant) -> str:
    """Return the name; whoever is made of this tree shares one."""
    return "tree" if variant.tree else variant.peer


def _install(home: Path, python: Path, words: list[str]) -> None:
    uv = shutil.which("uv") or _beside("uv")
    if uv:
        make = [uv, "venv", "--quiet", "--python", sys.executable, str(home)]
        _run(make)
        _run([uv, "pip", "install", "--quiet", "--python", str(python), *words])
    else:
        venv.create(home, with_pip=True)
        quiet = ["--quiet", "--disable-pip-version-check"]
        _run([str(python), "-m", "pip", "install", *quiet, *words])


def _beside(program: str) -> str | None:
    path = Path(sys.executable).with_name(program)
    return str(path) if path.exists() else None


def _run(words: list[str]) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True, timeout=_LIMIT)
