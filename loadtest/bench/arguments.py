"""Reads the command line of the bench."""

import argparse
from pathlib import Path

from loadtest.bench.growth.fill import Amounts

FIGURES = Path(__file__).resolve().parent.parent.parent / "docs" / "figures"
SECONDS = 8.0
SALES = 100_000
PAID_ORDERS = 1_000_000
MEMORY_SECONDS = 180.0
"""Long enough for a first minute and later ones."""


def read_arguments() -> argparse.Namespace:
    """Return what was asked for; ends the program where it makes no sense."""
    parser = _parser()
    found = parser.parse_args()
    if found.quick:
        found.rounds, found.seconds = 1, 3.0
    if found.seconds is None:
        found.seconds = MEMORY_SECONDS if found.memory else SECONDS
    if found.rounds < 1 or found.seconds < 1:
        parser.error("--rounds and --seconds are at least 1")
    amounts = (found.outcomes, found.users, found.carts, found.commands)
    if min(*amounts, found.sales, found.paid_orders) < 1:
        parser.error(
            "--outcomes, --users, --carts, --commands, --sales and --paid-orders are at least 1"
        )
    if found.carts > found.users:
        parser.error("--carts are at most --users: a user has one active cart")
    whole = not (
        found.report
        or found.growth
        or found.memory
        or found.cliffs
        or found.orders
        or found.quick
        or found.only
    )
    if found.docs is None and whole:
        found.docs = FIGURES
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.bench",
        description="Every case beside the others in turn: medians, and ratios to a hot row.",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seconds",
        type=float,
        help=f"for each measurement ({SECONDS:g}); with --memory, for each way to send"
        f" ({MEMORY_SECONDS:g})",
    )
    parser.add_argument("--quick", action="store_true", help="one round of 3 seconds each")
    parser.add_argument("--only", metavar="LETTERS", help="groups of the table, such as cdg")
    parser.add_argument(
        "--docs",
        type=Path,
        nargs="?",
        const=FIGURES,
        metavar="FOLDER",
        help="where the JSON and the picture go (docs/figures); the whole bench writes them anyway",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--report", action="store_true", help="the README's figures: three minutes a round"
    )
    what.add_argument("--growth", action="store_true", help="full tables beside empty ones")
    what.add_argument("--memory", action="store_true", help="memory over a long run")
    what.add_argument(
        "--cliffs",
        action="store_true",
        help="the first seconds of a sale, and holds that fall due by the thousand",
    )
    what.add_argument(
        "--orders", action="store_true", help="check-outs, payments, and an event that is cancelled"
    )
    full, long = Amounts(), 1_000_000
    parser.add_argument("--outcomes", type=int, default=full.outcomes, help="in the full tables")
    parser.add_argument("--users", type=int, default=full.users, help="in the full tables")
    parser.add_argument("--carts", type=int, default=full.carts, help="in the full tables")
    parser.add_argument("--commands", type=int, default=long, help="of the long run")
    parser.add_argument("--sales", type=int, default=SALES, help="paid orders that are cancelled")
    parser.add_argument(
        "--paid-orders", type=int, default=PAID_ORDERS, help="in the tables that are full of them"
    )
    return parser
