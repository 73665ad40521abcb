"""The command line of `python -m worker.deadletters`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.deadletters.queue import MAX_LETTERS

DEFAULT_LETTERS = 100
DEFAULT_WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Arguments:
    action: str
    json: bool
    limit: int
    reveal: bool = False
    ids: tuple[str, ...] = ()
    reason: str | None = None
    all: bool = False
    body: Path | None = None
    wait_seconds: float = DEFAULT_WAIT_SECONDS
    yes: bool = False


def read_arguments(given: Sequence[str]) -> Arguments:
    """Parse the command line. Raises SystemExit with code 2 where it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m worker.deadletters",
        description="Lists, shows, republishes and drops dead letters. The broker is the one "
        "that HOLDFAST_BROKER_URL names.",
        epilog="Exit codes: 0 done; 1 partly done; 2 wrong usage; "
        "3 the broker or its dead letters cannot be reached.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|retry|drop")
    actions.add_parser("list", help="list them, oldest first")
    show = actions.add_parser("show", help="print one with its body and headers")
    show.add_argument("--reveal", action="store_true", help="also e-mail addresses and hashes")
    retry = actions.add_parser(
        "retry", help="republish: a command with an outcome keeps it, none is applied twice"
    )
    retry.add_argument("--body", type=Path, metavar="FILE", help="corrected commands, for one")
    retry.add_argument(
        "--wait",
        dest="wait_seconds",
        type=float,
        default=DEFAULT_WAIT_SECONDS,
        metavar="SECONDS",
        help="how long to wait for the outcomes (default %(default)s)",
    )
    drop = actions.add_parser("drop", help="remove permanently")
    drop.add_argument("--yes", action="store_true", help="do not ask")
    for action in (retry, drop):
        action.add_argument("--all", action="store_true", help="all that are fetched")
        action.add_argument("--reason", help="those with this reason")
    for action in (show, retry, drop):
        several = "+" if action is show else "*"
        action.add_argument("ids", nargs=several, metavar="ID", help="of a letter or a command")
    for action in actions.choices.values():
        action.add_argument("--json", action="store_true", help="for machines")
        action.add_argument(
            "--limit",
            type=int,
            default=MAX_LETTERS if action is not actions.choices["list"] else DEFAULT_LETTERS,
            help=f"how many to fetch, the oldest first; at most {MAX_LETTERS}",
        )
    found = vars(parser.parse_args(given))
    arguments = Arguments(**found | {"ids": tuple(found.get("ids", ()))})
    if fault := _fault(arguments):
        parser.error(fault)
    return arguments


def _fault(arguments: Arguments) -> str | None:
    if not 1 <= arguments.limit <= MAX_LETTERS:
        return f"--limit must be 1 to {MAX_LETTERS}"
    ways = [bool(arguments.ids), arguments.all, arguments.reason is not None]
    if arguments.action in {"retry", "drop"} and sum(ways) != 1:
        return "name letters by ID, or by --reason, or --all of them"
    if arguments.body is not None and len(arguments.ids) != 1:
        return "--body corrects one letter: name it by its ID"
    return None
