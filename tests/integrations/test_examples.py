"""Each example is run as its first lines say, and does what it is there to show."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import environment
from tests.docs.pages import DOCS, ROOT, blocks, name
from tests.integrations.programs import EXAMPLES, Program, served

_SERVED = {
    "starlette_app": served("uvicorn", "starlette_app.app:app"),
    "quart_app": served("hypercorn", "quart_app.app:app"),
    "aiohttp_app": ("-m", "aiohttp_app.app"),
    "asgi_app": served("hypercorn", "asgi_app:app"),
    "tornado_app": ("tornado_app.py",),
    "twisted_app": ("twisted_app.py",),
}
_ROWS = {"tornado_app": "S2-15", "twisted_app": "S2-16"}


def _marked(name: str) -> object:
    return pytest.param(
        name, marks=[pytest.mark.seed(_ROWS.get(name, "S2-A21"), "S2-A21")]
    )


@pytest.mark.parametrize("name", [_marked(name) for name in _SERVED])
async def test_a_served_example(name: str) -> None:
    async with Program(*_SERVED[name]) as program:
        await program.ready()
        for number in range(3):
            job = f"r{number}"
            assert await program.post("/reports", id=job, title="T") == {"id": job}
            assert await program.get(f"/reports/{job}") == {"result": "T, written"}
        found = await program.get("/reports/r1/history")
        assert [one["kind"] for one in found] == ["succeeded", "created"]
        program.signal(signal.SIGTERM)
        assert await program.end() in (0, -signal.SIGTERM)
        assert "Traceback" not in program.said, program.said


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the shop's tables."""
    path = tmp_path_factory.mktemp("shop") / "shop.sqlite3"
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v0"],
        cwd=EXAMPLES / "django_app",
        env=environment(DATABASE=str(path)),
        timeout=60,
        check=True,
    )
    return path


@pytest.mark.seed("S2-A21")
@pytest.mark.parametrize(
    "words",
    [
        served("uvicorn", "shop.asgi:application"),
        # Daphne, as Django's own command starts it.
        ("manage.py", "runserver", "--noreload", "{port}"),
    ],
    ids=["uvicorn", "daphne"],
)
async def test_django(words: tuple[str, ...], shop: Path, tmp_path: Path) -> None:
    database = shutil.copy(shop, tmp_path)
    place: dict[str, Any] = {"folder": EXAMPLES / "django_app", "DATABASE": database}
    async with Program(*words, **place) as program:
        await program.ready()
        for number in (1, 2):
            found = await program.post("/orders", name=f"tea {number}")
            assert found == {"id": number}
            found = await program.get(f"/orders/{number}")
            assert found == {"result": f"tea {number} is paid", "paid": True}
        found = (await program.get("/orders/2/history"))["history"]
        assert [one["kind"] for one in found] == ["succeeded", "created"]
        # A name that is taken: the order is rolled back, and nothing is scheduled.
        taken = await program.client.post("/orders", json={"name": "tea 1"})
        assert taken.status_code == 500
        assert (await program.client.get("/orders/3/history")).json() == {"history": []}
        program.signal(signal.SIGTERM)
        assert await program.end() in (0, -signal.SIGTERM)


@pytest.mark.seed("S2-13", "S2-A21")
async def test_a_program_of_asyncio() -> None:
    async with Program("asyncio_app.py") as program:
        await program.says("tick of ", 3)
        program.signal(signal.SIGTERM)
        assert await program.end() == 0
        assert program.said.splitlines()[-1] == "ended"


@pytest.mark.seed("S2-17", "S2-A21")
@pytest.mark.skipif(sys.platform != "linux", reason="Qt is fetched on Linux only")
async def test_a_program_of_qt(a_server: str) -> None:
    """On a server, since sockets are what a loop for Qt may lack."""
    place: dict[str, Any] = {"QT_QPA_PLATFORM": "offscreen", "REDIS_URL": a_server}
    async with Program("qt_app.py", "3", **place) as program:
        assert await program.end() == 0, program.said
        said = program.said
        assert "the sum is 499999500000" in said
        assert re.findall(r"tick (\d) of", said)[:3] == ["1", "2", "3"]
        assert said.splitlines()[-1] == "ended"


@pytest.mark.seed("S2-A20", "S2-A21", "S5-22")
async def test_the_roles_are_processes_of_their_own(a_server: str) -> None:
    place: dict[str, Any] = {"REDIS_URL": a_server}
    worker = ("-m", "aiosched", "run", "roles.worker:build")
    async with Program(*worker, **place) as program:
        await program.says("ready in")
        async with Program("-m", "roles.client", "cat.png", "640", **place) as client:
            assert await client.end() == 0, client.said
            assert client.said.startswith("cat.png at 640, by ")
        program.signal(signal.SIGTERM)
        assert await program.end() == 0


def test_each_example_is_run_and_says_how() -> None:
    tests = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")
    )
    told = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in EXAMPLES.iterdir():
        if path.suffix != ".py" and not any(path.glob("**/*.py")):
            continue
        assert path.stem in tests, f"no test runs {path.name}"
        assert f"`{path.name}" in told, f"examples/README.md does not name {path.name}"


@pytest.mark.parametrize("page", sorted(DOCS.glob("howto/use-with-*.md")), ids=name)
def test_what_a_page_shows_without_running_it_stands_in_an_example(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.reason is None:
            continue
        path = ROOT / block.reason.removeprefix("stands in ")
        assert block.code in path.read_text(encoding="utf-8"), f"{page}:{block.line}"
