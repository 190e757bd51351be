"""The words of the commands that read configurations."""

from __future__ import annotations

import argparse

__all__ = ["add_config", "add_run_config", "reads_file", "run_file"]

_FILE = "default: what AIOSCHED_CONFIG names, else aiosched.toml or aiosched.yaml here"


def add_config(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``init``, ``config``, ``plan`` and ``apply`` to the command line."""
    init = commands.add_parser(
        "init",
        help="write a configuration to begin with",
        description="Writes a file with every setting, explained.",
    )
    init.add_argument("file", metavar="FILE", nargs="?", default="aiosched.toml")
    init.add_argument("--force", action="store_true", help="replace a file")
    init.set_defaults(command=_init)
    config = commands.add_parser(
        "config",
        help="check a configuration, or show what comes of it",
        description="check says everything that is wrong, each with its line.  show "
        "prints the settings as file, environment and variables have them; secrets "
        "are left out.",
    )
    config.add_argument("what", choices=("check", "show"))
    _add_file(config)
    config.add_argument("--json", action="store_true", help="one JSON object")
    config.set_defaults(command=_config)
    plan = commands.add_parser(
        "plan",
        help="the difference between what a file declares and what is stored",
        description="Writes nothing.  Exit code 1: there is a difference.",
    )
    _add_file(plan)
    _add_store(plan)
    plan.add_argument("--json", action="store_true", help="one JSON object")
    plan.set_defaults(command=_plan)
    apply = commands.add_parser(
        "apply",
        help="store what a file declares",
        description="Carries out what plan shows, after asking.  A job that is "
        "declared as it is stored is not touched.",
    )
    _add_file(apply)
    _add_store(apply)
    apply.add_argument("--yes", action="store_true", help="do not ask")
    apply.add_argument(
        "--remove-orphans",
        action="store_true",
        help="take out jobs that were declared once, and are not any more",
    )
    apply.add_argument("--json", action="store_true", help="one JSON object")
    apply.set_defaults(command=_apply)


def add_run_config(run: argparse.ArgumentParser) -> None:
    """Add what ``run`` takes for configurations."""
    run.add_argument(
        "--config",
        metavar="FILE",
        help="the settings and jobs; MODULE:NAME is then a function that is given "
        "the scheduler.  SIGHUP reads the jobs again",
    )
    run.add_argument("--env", metavar="NAME", help="the environment of the file")


def _add_file(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", nargs="?", help=_FILE)
    command.add_argument(
        "--env", metavar="NAME", help="the environment of the file (or AIOSCHED_ENV)"
    )


def _add_store(command: argparse.ArgumentParser) -> None:
    command.add_argument("--store", metavar="URL", help="in place of the file's")
    command.add_argument("--namespace", help="in place of the file's")


def _init(words: argparse.Namespace) -> int:
    from aiosched.cli.config import write_file

    return write_file(words.file, force=words.force)


def _config(words: argparse.Namespace) -> int:
    from aiosched.cli.config import check_config, show_config

    if words.what == "check":
        return check_config(words.file, words.env, as_json=words.json)
    return show_config(words.file, words.env, as_json=words.json)


def _plan(words: argparse.Namespace) -> int:
    from aiosched.cli.deploy import Deployed, print_plan

    return print_plan(
        Deployed(words.file, words.env, words.store, words.namespace, words.json)
    )


def _apply(words: argparse.Namespace) -> int:
    from aiosched.cli.deploy import Deployed, apply_file

    return apply_file(
        Deployed(words.file, words.env, words.store, words.namespace, words.json),
        yes=words.yes,
        remove_orphans=words.remove_orphans,
    )


def reads_file(words: argparse.Namespace) -> bool:
    """Tell whether ``run`` is asked to run a configuration."""
    if words.config is not None or words.env is not None:
        return True
    return words.target is None and words.store is None


def run_file(words: argparse.Namespace) -> int:
    """Run a configuration."""
    from aiosched.cli.run_config import run_config
    from aiosched.cli.run_options import level_of, life_of
    from aiosched.cli.watching import watching_of

    return run_config(
        words.config,
        words.env,
        once=words.once,
        app=words.target,
        grace=words.grace,
        log_level=level_of(words),
        life=life_of(words),
        watching=watching_of(words),
    )
