"""Gathers the pages of the documentation site, and those that are made of the code.

``python3 noxfile.py -s docs`` builds the site.  The pages stay where people read
them beside the code; here they are copied, with the README as the home page, and
``docs/index.md`` says what stands in the navigation and in which order.  The pages
of the API are made of the ``__all__`` of each public module.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import aiosched

__all__ = ["MODULES", "PROJECT", "ROOT", "api_names", "linked", "nav", "stage"]

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PROJECT = (
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "CODE_OF_CONDUCT.md",
)
"""The pages at the top of the repository, beside the README."""

MODULES = {
    "aiosched.background": "Schedulers for threads",
    "aiosched.executors": "Executors that are ready to use",
    "aiosched.config": "Configuration",
    "aiosched.audit": "Audit trail",
    "aiosched.logs": "Logs",
    "aiosched.integrations.asgi": "ASGI",
    "aiosched.integrations.fastapi": "FastAPI",
    "aiosched.integrations.django": "Django",
    "aiosched.integrations.flask": "Flask",
    "aiosched.integrations.twisted": "Twisted",
    "aiosched.integrations.http": "HTTP requests and webhooks",
    "aiosched.integrations.prometheus": "Prometheus",
    "aiosched.integrations.opentelemetry": "OpenTelemetry",
    "aiosched.integrations.goals": "Goals",
    "aiosched.integrations.rq_scheduler": "rq-scheduler's calls",
    "aiosched.integrations.rq_service": "Services of rq-scheduler",
    "aiosched.testing": "Testing",
}
"""The public modules below ``aiosched`` that have a page, with its title."""

_LINK = re.compile(r"(?P<text>\[[^\]]*\])\((?P<path>[^)#\s:]+)(?P<anchor>#[^)\s]*)?\)")
_TOCTREE = "\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{pages}\n```\n"


def nav(index: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the parts of the navigation, in the order of the index.

    Args:
        index: The text of ``docs/index.md``.

    Yields:
        The caption of a part, and the paths of its pages, relative to ``docs``.
    """
    above = ""
    for level, heading, body in re.findall(
        r"^(##+) ([^\n]*)\n(.*?)(?=^##|\Z)", index, re.MULTILINE | re.DOTALL
    ):
        above = heading if level == "##" else above
        pages = re.findall(r"^- \[[^\]]*\]\(([\w./-]+\.md)\)", body, re.MULTILINE)
        if pages:
            small = heading[0].lower() + heading[1:]
            yield (heading if level == "##" else f"{above}: {small}"), pages


def api_names() -> dict[str, list[str]]:
    """Return the public names of ``aiosched``, by the title of their page."""
    found: dict[str, list[str]] = {
        "Scheduler": [],
        "Jobs and runs": [],
        "Triggers": [],
        "Closed words": [],
        "Errors": [],
    }
    for name in aiosched.__all__:
        value = getattr(aiosched, name)
        room = value.__module__.removeprefix("aiosched.").partition(".")[0]
        if room == "background":  # has a page of its own
            continue
        pages = {
            "errors": "Errors",
            "enums": "Closed words",
            "triggers": "Triggers",
            "jobs": "Jobs and runs",
            "context": "Jobs and runs",
            "guard": "Jobs and runs",
            "depends": "Jobs and runs",
        }
        found[pages.get(room, "Scheduler")].append(name)
    found["Scheduler"].sort(key=lambda name: name != "Scheduler")
    return found


def _documented(module: str, name: str) -> str:
    value = getattr(importlib.import_module(module), name)
    kind = "data"
    if inspect.isclass(value):
        kind = "exception" if issubclass(value, BaseException) else "class"
    elif inspect.isroutine(value):
        kind = "function"
    if kind == "data":  # what its type says of itself is not about it
        return f".. py:data:: {name}\n   :module: {module}\n"
    members = "   :members:\n" if kind in ("class", "exception") else ""
    fields = getattr(value, "_fields", ())
    if isinstance(fields, tuple) and "Attributes:" in (
        value.__doc__ or ""
    ):  # it tells of them itself
        members += f"   :exclude-members: {', '.join(fields)}\n"
    return f".. auto{kind}:: {module}.{name}\n{members}"


def _page(title: str, words: list[str]) -> str:
    return "\n".join([f"# {title}", "", "```{eval-rst}", *words, "```", ""])


def _api() -> Iterator[tuple[str, str]]:
    """Yield the stem of each page of the API, with its text."""
    for title, names in api_names().items():
        words = [_documented("aiosched", name) for name in names]
        yield title.lower().replace(" ", "-"), _page(title, words)
    for module, title in MODULES.items():
        room = importlib.import_module(module)
        words = [
            f".. py:module:: {module}\n\n{inspect.getdoc(room)}\n",
            *(_documented(module, name) for name in getattr(room, "__all__", [])),
        ]
        yield module, _page(f"{title}: `{module}`", words)


def linked(text: str, page: Path) -> str:
    """Return a page's text with its links as the site has them.

    What lies in the repository and is not a page, such as a file of
    ``examples``, is named and not linked.  A link to what does not exist stays,
    so that the build fails.
    """
    pages = {ROOT / "README.md", *(ROOT / name for name in PROJECT)}

    def made(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(page.parent / found["path"]))
        if target == ROOT / "README.md":
            path = os.path.relpath(ROOT / "index.md", page.parent)
            return f"{found['text']}({path}{found['anchor'] or ''})"
        inside = target in pages or target.is_relative_to(DOCS)
        if inside or not target.exists():
            return found[0]
        return f"{found['text'][1:-1]} (`{target.relative_to(ROOT).as_posix()}`)"

    return _LINK.sub(made, text)


def stage(target: Path) -> None:
    """Write all pages below a folder, which is emptied first."""
    shutil.rmtree(target, ignore_errors=True)
    for page in [*(ROOT / name for name in PROJECT), *DOCS.rglob("*.md")]:
        copy = target / page.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(linked(page.read_text("utf-8"), page), encoding="utf-8")
    shutil.copytree(DOCS / "images", target / "docs" / "images")
    (target / "api").mkdir()
    api = dict(_api())
    for stem, text in api.items():
        (target / "api" / f"{stem}.md").write_text(text, encoding="utf-8")
    home = linked((ROOT / "README.md").read_text("utf-8"), ROOT / "README.md")
    parts = [
        (caption, [f"docs/{path}" for path in pages])
        for caption, pages in nav((DOCS / "index.md").read_text("utf-8"))
    ]
    parts[0][1].insert(0, "docs/index.md")
    parts.append(("API", [f"api/{stem}.md" for stem in api]))
    parts.append(("Project", list(PROJECT)))
    for caption, pages in parts:
        home += _TOCTREE.format(caption=caption, pages="\n".join(pages))
    (target / "index.md").write_text(home, encoding="utf-8")


if __name__ == "__main__":
    import sys

    stage(Path(sys.argv[1]))
