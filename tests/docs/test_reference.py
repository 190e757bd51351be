"""The reference pages say what the code says, and name tests that exist."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path

import pytest

from aiosched import Job, RedisJobStore, Retry, Scheduler, enums, errors
from aiosched._engine.events import EVENTS
from aiosched.abc import Terms
from aiosched.cli.app import main, parser
from aiosched.config.declared import JOB_WORDS
from aiosched.config.loading import SECTIONS
from aiosched.config.reference import settings_table
from aiosched.config.words import LEADS, MODIFIERS
from aiosched.context import Context
from aiosched.jobs.plans import CHANGES
from aiosched.jobs.snapshots import SNAPSHOT_FIELDS
from tests.docs import command_line
from tests.docs.pages import DOCS, ROOT, name, pages, table


def _text(path: str) -> str:
    return (DOCS / path).read_text(encoding="utf-8")


def _options(call: object) -> set[str]:
    return set(inspect.signature(call).parameters) - {"self"}  # type: ignore[arg-type]


def _first_words(path: str, after: str) -> set[str]:
    """Return the words in the first cells of the tables behind a text."""
    cells = re.findall(r"^\| (`.*?) \|", _text(path).split(after)[1], re.MULTILINE)
    return set(re.findall(r"`(\w+)`", "".join(cells)))


# --- reference -----------------------------------------------------------------


@pytest.mark.seed("S3-44")
def test_job_parameters_are_those_of_the_schema(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["schema", "job"]) == 0
    schema = json.loads(capsys.readouterr().out)
    rows = table(_text("reference/job-parameters.md"), "Job parameters")
    assert set(rows) == set(schema["properties"])


def test_job_parameters() -> None:
    parameters = table(_text("reference/job-parameters.md"), "Job parameters")
    assert list(parameters) == list(Job.model_fields)


def test_job_parameters_have_their_defaults() -> None:
    parameters = table(_text("reference/job-parameters.md"), "Job parameters")
    job = Job("work", id="given")
    for field, (_, default, _) in parameters.items():
        value = getattr(job, field)
        if default.startswith("`"):
            word = default.strip("`")
            said = {"()": (), "{}": {}, "False": False, '""': ""}.get(word, word)
            assert value == said, field
        elif default == "none":
            assert value is None, field
        elif default[0].isdigit() and isinstance(value, int):
            assert value == int(default.split(";")[0]), field


def test_snapshot_properties() -> None:
    said = _first_words("reference/job-parameters.md", "## What a store adds")
    assert said == {*SNAPSHOT_FIELDS, "recent"}


def test_events() -> None:
    assert set(table(_text("reference/events.md"))) == EVENTS


def test_the_data_of_events() -> None:
    emitted: dict[str, set[str]] = {}
    for path in (ROOT / "aiosched").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".emit"):
                keys = {keyword.arg or "**" for keyword in node.keywords}
                if not isinstance(node.args[0], ast.Constant):
                    assert not keys, "the verbs have nothing to add"
                    continue
                event = ast.literal_eval(node.args[0])
                emitted.setdefault(event, set()).update(keys)
    rows = table(_text("reference/events.md"))
    assert emitted.keys() <= rows.keys()
    for event, row in rows.items():
        said = set(re.findall(r"`(\w+)`", row[-1]))
        assert said == emitted.get(event, set()), event


def test_errors() -> None:
    rows = table(_text("reference/errors.md"))
    drawn = re.findall(
        r"^[ │├└─]*(\w+Error|CancelJob)", errors.__doc__ or "", re.MULTILINE
    )
    assert list(rows) == drawn
    assert set(rows) == set(errors.__all__)
    for word, (parents, *_) in rows.items():
        bases = [base.__name__ for base in getattr(errors, word).__bases__]
        assert re.findall(r"`(\w+)`", parents) == bases, word


def test_states_and_other_words() -> None:
    text = _text("reference/states.md")
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == sorted(
        enums.__all__, key=text.index
    )
    for word in enums.__all__:
        values = [member.value for member in getattr(enums, word)]
        assert list(table(text, word)) == values, word


def test_options_of_a_scheduler() -> None:
    rows = table(_text("reference/scheduler.md"), "Options")
    assert set(rows) == _options(Scheduler.__init__)


def test_verbs_of_a_scheduler() -> None:
    rows = table(_text("reference/scheduler.md"), "Verbs")
    verbs = {
        word: verb
        for word, verb in inspect.getmembers(Scheduler, inspect.isfunction)
        if not word.startswith("_")
    }
    assert set(rows) == set(verbs)
    for word, (meaning,) in rows.items():
        assert meaning.startswith("°") is not inspect.iscoroutinefunction(verbs[word])


def test_commands() -> None:
    action = next(a for a in parser()._actions if isinstance(a.choices, dict))
    listed = [choice.dest for choice in action._get_subactions()]
    text = _text("reference/command-line.md")
    assert command_line.written(text) == text, "python -m tests.docs.command_line"
    rows = table(text.partition("<!-- end -->")[0])
    assert list(rows) == listed
    for word, (_, options) in rows.items():
        known = {
            option
            for each in action.choices[word]._actions
            for option in each.option_strings
            if option.startswith("--") and option != "--help"
        }
        assert set(re.findall(r"`(--[\w-]+)`", options)) == known, word


def test_settings_are_those_that_are_read() -> None:
    page = _text("reference/settings.md")
    assert settings_table() in page, "make the table anew: settings_table()"
    assert tuple(table(page, "Sections")) == SECTIONS


def test_words_of_a_declared_job() -> None:
    section = _text("reference/settings.md").split("## Words of a job")[1]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    said = set(re.findall(r"`(\w+)`", " ".join(cells)))
    assert said == set(JOB_WORDS) - (set(Job.model_fields) - {"id", "trigger", "when"})


def test_words_beside_the_word_that_says_when() -> None:
    rows = table(_text("howto/declare-jobs-in-a-file.md"), "Declare")
    assert set(rows) == set(LEADS)
    for lead, (_, beside) in rows.items():
        said = set(re.findall(r"`(\w+)`", beside)) - {"tz"}
        assert said == MODIFIERS[lead] - {"unit", "time_unit", "tz"}, lead


def test_words_of_a_plan() -> None:
    rows = table(_text("howto/declare-jobs-in-a-file.md"), "See what would change")
    assert list(rows) == list(CHANGES)


# --- tables of the guides --------------------------------------------------------


def test_options_of_the_redis_store() -> None:
    said = _first_words("howto/create-a-store.md", "build the store yourself")
    assert said == _options(RedisJobStore.__init__) - {"url"}


def test_fields_of_a_retry() -> None:
    rows = table(_text("howto/retries-and-timeouts.md"))
    assert list(rows) == list(Retry.model_fields)


def test_terms() -> None:
    rows = table(_text("howto/run-several-peers.md"))
    assert set(rows) == set(Terms.__slots__)
    terms = Terms()
    for term, (default, _) in rows.items():
        number = float(default.split()[0].replace(",", ""))
        unit = {"s": 1_000_000, "days": 86_400_000_000}.get(default.split()[-1], 1)
        assert getattr(terms, term) == number * unit, term


def test_attributes_of_a_context() -> None:
    real = {word for word in vars(Context) if not word.startswith("_")}
    assert _first_words("howto/write-an-executor.md", "## The context") == real


# --- names of tests ----------------------------------------------------------------

_NAMED = re.compile(
    r"`(?P<path>(?:tests|aiosched)/[\w/.-]+?\.py)(?:::(?P<id>[\w:]+))?`"
)


@pytest.mark.parametrize("page", pages(), ids=name)
def test_what_a_page_names_exists(page: Path) -> None:
    for found in _NAMED.finditer(page.read_text(encoding="utf-8")):
        path = ROOT / found["path"]
        assert path.is_file(), f"{name(page)} names {found['path']}"
        if found["id"] is None:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        known = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        }
        for part in found["id"].split("::"):
            assert part in known, f"{name(page)} names {part} in {found['path']}"


@pytest.mark.parametrize("page", pages(), ids=name)
def test_headings_that_a_page_links_to_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for path, anchor in re.findall(r"\]\(([^)#\s:]*)#([\w-]+)\)", text):
        target = (page.parent / path) if path else page
        headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
        slugs = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}
        assert anchor in slugs, f"{name(page)} links to {path}#{anchor}"


def test_each_page_can_be_found_from_the_index() -> None:
    index = DOCS / "index.md"
    links = re.findall(r"\]\(([\w./-]+\.md)", index.read_text("utf-8"))
    linked = {(index.parent / link).resolve() for link in links}
    assert set(pages()) - {index} <= linked
