"""Installing: the wheel in an environment of its own, and the examples in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_NOT_THERE = ("PYTHONPATH", "REDIS_URL", "VIRTUAL_ENV", "AIOSCHED_STORE")
_BIN = "Scripts" if os.name == "nt" else "bin"


class Place:
    """An environment as a user makes it.

    What it depends on is not fetched but taken from the environment of the tests,
    in which aiosched itself is not visible: a test has seen to that.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / _BIN / "python"

    def run(
        self, *words: str, cwd: Path = _ROOT, timeout: float = 100, **more: str
    ) -> subprocess.CompletedProcess[str]:
        environ = {
            name: os.environ[name] for name in os.environ if name not in _NOT_THERE
        }
        return subprocess.run(
            [str(self.python), *words],
            cwd=cwd,
            env=environ | more,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An environment with what aiosched depends on, and without aiosched."""
    folder = tmp_path_factory.mktemp("user") / ".venv"
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(folder)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"this Python makes no environments: {made.stdout[-200:]}")
    site = next(folder.glob("lib/python3*/site-packages"), folder / "Lib/site-packages")
    # A path in such a file is looked in, and files of its own kind there are not read:
    # what is installed for editing there stays out.
    (site / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return Place(folder)


@pytest.fixture(scope="module")
def installed(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The same with the wheel of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    absent = place.run("-c", "import aiosched", cwd=folder)
    assert absent.returncode == 1, "the tests' own aiosched is visible there"
    built = place.run("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("aiosched-*.whl")
    pip = ("-m", "pip", "install", "-q", "--no-index", "--no-deps", str(wheel))
    done = place.run(*pip, cwd=folder)
    assert done.returncode == 0, done.stderr
    return place


def _version() -> str:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))
    return str(project["project"]["version"])


@pytest.mark.seed("S1-09")
def test_the_wheel_is_installed_and_imported(installed: Place, tmp_path: Path) -> None:
    code = "import aiosched; print(aiosched.__version__, aiosched.__file__)"
    done = installed.run("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    version, file = done.stdout.split()
    assert version == _version()
    assert Path(file).is_relative_to(installed.folder)
    assert (Path(file).parent / "py.typed").is_file()
    command = subprocess.run(
        [str(installed.folder / _BIN / "aiosched"), "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=tmp_path,
    )
    assert command.stdout == f"aiosched {_version()}\n"


@pytest.mark.seed("S1-31")
def test_the_licence_is_in_the_metadata(installed: Place, tmp_path: Path) -> None:
    code = (
        "import importlib.metadata as m; d = m.metadata('aiosched'); "
        "print(d['License-Expression'], d['License-File'])"
    )
    done = installed.run("-c", code, cwd=tmp_path)
    assert done.stdout.split() == ["MIT", "LICENSE"]
    assert "MIT License" in (_ROOT / "LICENSE").read_text("utf-8")


@pytest.mark.seed("S1-08")
def test_the_changelog_has_this_version_and_nothing_is_deprecated(
    installed: Place, tmp_path: Path
) -> None:
    done = installed.run(
        "-W", "error::DeprecationWarning", "-c", "import aiosched", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    text = (_ROOT / "CHANGELOG.md").read_text("utf-8")
    assert _version() in text
    assert "Semantic Versioning" in text
    assert re.search(r"breaks users' code or stored data says how to move", text)
    assert "warn for at least one minor version" in text


@pytest.mark.seed("S5-01", "S5-02")
@pytest.mark.skipif(os.name == "nt", reason="the commands of the page for POSIX")
def test_the_environment_of_the_page(tmp_path: Path) -> None:
    page = (_ROOT / "docs/howto/install.md").read_text("utf-8")
    row = re.search(r"^\| Linux, macOS \| `(.*?)` \| `(.*?)` \|$", page, re.MULTILINE)
    assert row is not None
    for system in ("PowerShell", "cmd", "fish"):
        assert system in page
    make = row[1].replace("python3", f"'{sys.executable}'") + " --without-pip"
    shell = shutil.which("bash")
    assert shell is not None
    said = "python3 -c 'import sys; print(sys.prefix)'"
    done = subprocess.run(
        [shell, "-c", f"{make} && {row[2]} && {said}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).resolve() == (tmp_path / ".venv").resolve()


@pytest.mark.seed("S5-03", "S5-04", "S5-14")
def test_the_service_of_the_examples(place: Place) -> None:
    """As its page says: requirements, then the program."""
    pip = ("-m", "pip", "install", "-q", "--no-index", "--no-deps")
    wanted = ("--no-build-isolation", "-r", "examples/service/requirements.txt")
    done = place.run(*pip, *wanted)
    assert done.returncode == 0, done.stderr
    process = subprocess.Popen(
        [str(place.python), "-u", "examples/service/app/main.py"],
        cwd=_ROOT,
        env={
            k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "REDIS_URL")
        }
        | {"GREETING_INTERVAL": "0.1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        assert lines == ["hello world?\n"] * 2
        assert process.poll() is None, "it goes on until it is told to end"
    finally:
        process.kill()
        process.communicate(timeout=10)
    three = place.run("examples/service_periodic.py")
    assert three.stdout == "hello world\n" * 3, three.stderr
