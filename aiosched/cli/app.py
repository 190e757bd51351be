"""The ``aiosched`` command: what it understands, and who does it.

Exit codes are those of :mod:`aiosched.cli.codes`, the same for all commands.
Each command imports what it needs when it is asked for, so that ``--help`` and
``--version`` answer at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from aiosched.cli.acting_options import add_acting, add_firing
from aiosched.cli.audit import add_audit
from aiosched.cli.codes import CannotError, ExitCode, code_of, in_words
from aiosched.cli.completion_options import add_completion
from aiosched.cli.config_options import add_config
from aiosched.cli.doctor_options import add_doctor
from aiosched.cli.looking_options import add_looking
from aiosched.cli.migrate_options import add_migrate
from aiosched.cli.moving_options import add_moving
from aiosched.cli.output import EXAMPLES, NO_OUTPUT, forget_output
from aiosched.cli.printable import printable
from aiosched.cli.run_options import add_run
from aiosched.cli.schedule_options import add_schedule
from aiosched.cli.words import add_place, instant, positive
from aiosched.errors import AioschedError

__all__ = ["CannotError", "main", "parser"]

LEAST_SECONDS, MOST_SECONDS = 6, 20


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the words ask for.

    Args:
        argv: The words behind the program's name; None takes the process's.

    Returns:
        The exit code.
    """
    words = parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = words.command
    if words.says and sys.stdout is None:
        print("aiosched: standard output is closed", file=sys.stderr)
        return 2
    try:
        code = command(words)
        if sys.stdout is not None:
            sys.stdout.flush()
    except CannotError as error:
        _complain(str(error))
        return error.code
    except AioschedError as error:
        _complain(in_words(error))
        return code_of(error)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        forget_output()  # whoever read us has seen enough
        return 0
    except OSError as error:
        if not words.says or error.errno not in NO_OUTPUT:
            raise
        forget_output()
        print(f"aiosched: cannot write: {error.strerror}", file=sys.stderr)
        return 2
    return code


def _complain(text: str) -> None:
    """Say what stands in the way; mistakes of a file come one a line."""
    print("aiosched:", "\n".join(map(printable, text.split("\n"))), file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="aiosched",
        description="A scheduler for asyncio, from one process to many.",
    )
    top.set_defaults(says=True)
    top.add_argument("--version", action=_Version, nargs=0, help="say which, and end")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    _add_demo(commands)
    add_run(commands)
    _add_jobs(commands)
    add_looking(commands)
    add_schedule(commands)
    add_firing(commands)
    add_acting(commands)
    _add_results(commands)
    _add_views(commands)
    add_moving(commands)
    add_doctor(commands)
    add_audit(commands)
    add_config(commands)
    add_migrate(commands)
    _add_texts(commands)
    add_completion(commands)
    _add_peer(commands)
    return top


class _Version(argparse.Action):
    """Prints the version; a lazy one, since finding it imports the package."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import import_module

        print(f"aiosched {import_module('aiosched').__version__}")
        parser.exit()


def _seconds(text: str) -> float:
    seconds = float(text)
    if LEAST_SECONDS <= seconds <= MOST_SECONDS:
        return seconds
    message = f"{text} is not between {LEAST_SECONDS} and {MOST_SECONDS}"
    raise argparse.ArgumentTypeError(message)


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser(
        "demo",
        help="watch scheduled work happen, and the books being balanced",
        description="Runs jobs of every kind, then holds the ledger against what the "
        "executors saw.  Exit code 1: a firing is missing or doubled.",
    )
    demo.add_argument(
        "--redis",
        nargs="?",
        const="",
        metavar="URL",
        help="three peer processes on a real server, one of which is killed; "
        "without a URL the demo starts a server of its own",
    )
    demo.add_argument(
        "--seconds",
        type=_seconds,
        help=f"how long work comes in, {LEAST_SECONDS} to {MOST_SECONDS}",
    )
    demo.add_argument("--plain", action="store_true", help="plain lines, no live table")
    demo.add_argument("--json", action="store_true", help="only the ledger, as JSON")
    demo.set_defaults(command=_demo)


def _add_results(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, what in (
        ("results", "runs of a job and what they returned, newest first"),
        ("history", "everything the ledger says of a job, newest first"),
    ):
        results = _explained(commands, name, what)
        if name == "history":
            help_ = "the job's id; without one: of all"
            results.add_argument("job", metavar="JOB", nargs="?", help=help_)
        else:
            results.add_argument("job", metavar="JOB", help="the job's id")
        add_place(results)
        count = results.add_mutually_exclusive_group()
        count.add_argument("--limit", type=positive, default=20)
        count.add_argument("--all", action="store_true", help="to the end")
        for bound, sense in (("--since", "at or after"), ("--until", "at or before")):
            results.add_argument(
                bound,
                type=instant,
                metavar="INSTANT",
                help=f"only what was decided {sense} it: 2030-01-31T09:00+01:00",
            )
        if name == "history":
            count.add_argument(
                "--follow",
                action="store_true",
                help="what comes from now on, oldest first, until Ctrl-C; with --json "
                "one JSON object a line",
            )
            results.add_argument(
                "--kind",
                action="append",
                default=[],
                help="only rows of this kind, such as skipped; may be given again",
            )
        results.add_argument("--json", action="store_true", help="one JSON array")
        results.set_defaults(
            command=_results, runs_only=name == "results", kind=[], follow=False
        )


def _add_jobs(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    what = "list the jobs of a namespace"
    jobs = _explained(commands, "jobs", what)
    add_place(jobs)
    jobs.add_argument("--tag", help="only jobs that carry it")
    jobs.add_argument("--keyword", help="only jobs that are subscribed to it")
    jobs.add_argument("--executor", metavar="NAME", help="only jobs that it does")
    jobs.add_argument("--queue", metavar="NAME", help="only jobs that belong to it")
    jobs.add_argument("--state", help="only jobs in it (default: active and paused)")
    jobs.add_argument(
        "--unclaimable", action="store_true", help="only jobs that no live peer can run"
    )
    jobs.add_argument("--json", action="store_true", help="one JSON array")
    jobs.set_defaults(command=_jobs)


def _add_views(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    what = "one sentence: why a job ran, ran late, or did not run"
    why = _explained(commands, "why", what)
    why.add_argument("job", metavar="JOB", help="the job's id")
    why.add_argument(
        "instant", metavar="INSTANT", help="2030-01-31T09:00+01:00, or wall time in TZ"
    )
    why.add_argument("--tz", help="zone of an instant without an offset")
    add_place(why)
    why.set_defaults(command=_why)
    for name, positional, what in (
        ("preview", "JOB|EXPRESSION", "the fire times that are to come"),
        ("next", "EXPRESSION", "the next fire times of a cron expression"),
    ):
        view = _explained(commands, name, what)
        view.add_argument(
            "what",
            metavar=positional,
            help="a cron expression" + (", or with --store a job" * (name != "next")),
        )
        view.add_argument("-n", "--n", type=positive, default=5, help="how many")
        view.add_argument("--tz", help="zone of an expression; zone to show a job in")
        view.add_argument(
            "--after", type=instant, metavar="INSTANT", help="only later ones"
        )
        view.add_argument(
            "--seconds",
            choices=("first", "last"),
            help="where a sixth field of an expression, the second, stands",
        )
        view.add_argument("--id", metavar="JOB", help="whose H an expression means")
        view.add_argument("--json", action="store_true", help="one JSON array")
        view.set_defaults(command=_preview, store=None, namespace="aiosched")
        if name == "preview":
            view.add_argument("--store", metavar="URL")
            view.add_argument("--namespace", default="aiosched")


def _explained(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, what: str
) -> argparse.ArgumentParser:
    """Add a command whose help ends with examples."""
    return commands.add_parser(
        name,
        help=what,
        description=what.capitalize(),
        epilog=EXAMPLES[name],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_texts(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    schema = commands.add_parser("schema", help="print a JSON schema")
    schema.add_argument("of", choices=("job", "jobs", "message", "states"))
    schema.set_defaults(command=_schema)
    states = commands.add_parser("states", help="how jobs and firings move")
    states.add_argument("--dot", action="store_true", help="as a Graphviz graph")
    states.set_defaults(command=_states)
    what = "the kinds of triggers, and what other distributions add"
    plugins = commands.add_parser("plugins", help=what, description=what.capitalize())
    plugins.add_argument("--json", action="store_true", help="one JSON object")
    plugins.set_defaults(command=_plugins)


def _add_peer(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    # Without a help text it is not listed: the demo starts it, nobody else does.
    peer = commands.add_parser("demo-peer")
    peer.add_argument("--store", required=True)
    peer.add_argument("--namespace", required=True)
    peer.add_argument("--name", required=True)
    peer.add_argument("--witness", required=True)
    peer.set_defaults(command=_demo_peer, says=False)


def _demo(words: argparse.Namespace) -> int:
    from aiosched.cli.demo import Options, run_demo

    return run_demo(Options(words.redis, words.seconds, words.plain, words.json))


def _demo_peer(words: argparse.Namespace) -> int:
    from aiosched.cli.peer import run_peer

    return run_peer(words.store, words.namespace, words.name, words.witness)


def _results(words: argparse.Namespace) -> int:
    from aiosched.cli.place import place_of
    from aiosched.cli.results import Asked, follow_history, print_history

    asked = Asked(
        words.job,
        place_of(words),
        limit=None if words.all else words.limit,
        since=words.since,
        until=words.until,
        kinds=tuple(words.kind),
        runs_only=words.runs_only,
        as_json=words.json,
    )
    return follow_history(asked) if words.follow else print_history(asked)


def _jobs(words: argparse.Namespace) -> int:
    from aiosched.cli.jobs import Listed, print_jobs
    from aiosched.cli.place import place_of

    listed = Listed(
        place_of(words),
        tag=words.tag,
        keyword=words.keyword,
        executor=words.executor,
        state=words.state,
        queue=words.queue,
        unclaimable=words.unclaimable,
        as_json=words.json,
    )
    return print_jobs(listed)


def _why(words: argparse.Namespace) -> int:
    from aiosched.cli.place import place_of
    from aiosched.cli.why import print_why

    return print_why(words.job, words.instant, place=place_of(words), tz=words.tz)


def _preview(words: argparse.Namespace) -> int:
    from aiosched.cli.preview import Asked, print_preview

    asked = Asked(
        words.what,
        words.n,
        words.tz,
        words.after,
        words.seconds,
        words.id,
        words.store,
        words.namespace,
        as_json=words.json,
    )
    return print_preview(asked)


def _schema(words: argparse.Namespace) -> int:
    from aiosched.cli.schema import schema_text

    print(schema_text(words.of))
    return 0


def _states(words: argparse.Namespace) -> int:
    from aiosched.cli.states import as_dot, as_lines

    print(as_dot() if words.dot else as_lines())
    return 0


def _plugins(words: argparse.Namespace) -> int:
    from aiosched.cli.plugins import print_plugins

    return print_plugins(as_json=words.json)
