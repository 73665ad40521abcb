"""Shows dead letters to an operator, hands them in again or drops them."""

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from aio_pika.exceptions import AMQPError
from pydantic import BaseModel, Field

from shared.environment import BrokerUrl, read_settings
from shared.messages import Unreadable, read_commands
from worker.deadletters.arguments import Arguments, read_arguments
from worker.deadletters.formatting import page, summary, table
from worker.deadletters.message import DeadLetter
from worker.deadletters.queue import DeadLetterQueue, opened
from worker.messaging.library_patches import tolerate_unreadable_properties

DONE, NOT_ALL_DONE, WRONG_USAGE, UNREACHABLE = range(4)


class Settings(BaseModel):
    broker_url: BrokerUrl = Field(repr=False)


def main() -> int:
    """Return the exit code: 0 done, 1 not all of it, 2 wrong usage, 3 no broker."""
    arguments = read_arguments(sys.argv[1:])
    settings = read_settings(Settings)
    tolerate_unreadable_properties()
    # The broker's refusals are told by us.
    for chatty in ("aio_pika", "aiormq"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL + 1)
    try:
        return asyncio.run(run(settings.broker_url, arguments))
    except (AMQPError, OSError, TimeoutError) as error:
        _complain(f"the dead letters cannot be reached: {type(error).__name__}: {error}")
        return UNREACHABLE


async def run(broker_url: str, arguments: Arguments) -> int:
    async with opened(broker_url, arguments.limit) as shelf:
        return await ACTIONS[arguments.action](shelf, arguments)


async def _list(shelf: DeadLetterQueue, arguments: Arguments) -> int:
    if arguments.json:
        numbered = [{"position": n} | summary(one) for n, one in enumerate(shelf.letters, 1)]
        _print_json({"letters": numbered, "more": shelf.more})
        return DONE
    for line in table(shelf.letters, datetime.now(UTC)) if shelf.letters else ["no dead letters"]:
        _print(line)
    _say_more(shelf)
    return DONE


async def _show(shelf: DeadLetterQueue, arguments: Arguments) -> int:
    chosen, code = _choose(shelf, arguments)
    for letter in chosen:
        told = page(letter, reveal=arguments.reveal)
        if arguments.json:
            _print_json(told)
            continue
        body = told.pop("body")
        for name, content in told.items():
            _print(f"{name}: {content}")
        _print(body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False))
    return code


async def _retry(shelf: DeadLetterQueue, arguments: Arguments) -> int:
    chosen, code = _choose(shelf, arguments)
    body = None
    if arguments.body is not None:
        try:
            body = arguments.body.read_bytes()
        except OSError as error:
            _complain(f"--body: {error.strerror}: {arguments.body}")
            return WRONG_USAGE
    waiting: list[tuple[DeadLetter, asyncio.Future[list[dict[str, Any]]]]] = []
    for letter in chosen:
        if fault := _unfit(letter.message.body if body is None else body):
            _complain(f"{letter.id} stays: {fault}. Hand in corrected commands with --body FILE")
            code = NOT_ALL_DONE
            continue
        try:
            waiting.append((letter, await shelf.hand_in(letter, body)))
        except (AMQPError, OSError, TimeoutError) as error:
            _complain(f"{letter.id} stays: the broker did not take it ({type(error).__name__})")
            code = NOT_ALL_DONE
            break  # nor will it take the others
    if waiting:
        await asyncio.wait([answer for _, answer in waiting], timeout=arguments.wait_seconds)
    results = [_result(letter, answer) for letter, answer in waiting]
    if arguments.json:
        _print_json({"handed_in": results})
        return code
    for result in results:
        for outcome in result["outcomes"] or ["no answer yet; the outcome will be recorded"]:
            told = outcome if isinstance(outcome, str) else _told(outcome)
            _print(f"{result['id']} handed in: {told}")
    _say_more(shelf)
    return code


async def _drop(shelf: DeadLetterQueue, arguments: Arguments) -> int:
    chosen, code = _choose(shelf, arguments)
    if chosen and not arguments.yes:
        if not sys.stdin.isatty():
            _complain("nobody can be asked here: say --yes to drop for good")
            return WRONG_USAGE
        for line in table(chosen, datetime.now(UTC)):
            _print(line)
        # In a thread: the connection must go on meanwhile.
        question = f"Drop {len(chosen)} for good? [y/N] "
        if (await asyncio.to_thread(input, question)).strip().lower() not in {"y", "yes"}:
            return NOT_ALL_DONE
    for letter in chosen:
        await shelf.drop(letter)
    dropped = [letter.id for letter in chosen]
    if arguments.json:
        _print_json({"dropped": dropped})
    else:
        for id in dropped:
            _print(f"{id} dropped")
        _say_more(shelf)
    return code


ACTIONS: dict[str, Callable[[DeadLetterQueue, Arguments], Coroutine[Any, Any, int]]] = {
    "list": _list,
    "show": _show,
    "retry": _retry,
    "drop": _drop,
}


def _choose(shelf: DeadLetterQueue, arguments: Arguments) -> tuple[list[DeadLetter], int]:
    """The letters that are meant, and the exit code as far as it depends on finding them."""
    if arguments.all:
        return shelf.letters, DONE
    if arguments.reason is not None:
        return [one for one in shelf.letters if one.reason == arguments.reason], DONE
    chosen = [one for one in shelf.letters if {one.id, *one.command_ids} & {*arguments.ids}]
    missing = {*arguments.ids}.difference(*({one.id, *one.command_ids} for one in chosen))
    for id in sorted(missing):
        _complain(f"{id}: there is no such dead letter among the {len(shelf.letters)} looked at")
    if missing:
        _say_more(shelf)
    return chosen, NOT_ALL_DONE if missing else DONE


def _unfit(body: bytes) -> str | None:
    """Why handing it in would only bring it back: nothing in it can be read."""
    entries = read_commands(body)
    unreadable = [entry.error for entry in entries if isinstance(entry, Unreadable)]
    return unreadable[0] if len(unreadable) == len(entries) else None


def _result(letter: DeadLetter, answer: "asyncio.Future[list[dict[str, Any]]]") -> dict[str, Any]:
    """What became of a letter; of each outcome only what holds no secret."""
    outcomes = answer.result() if answer.done() else []
    return {
        "id": letter.id,
        "outcomes": [
            {
                "command_id": outcome["command_id"],
                "kind": outcome["kind"],
                "status": outcome["status"],
                "code": (outcome["refusal"] or {}).get("code"),
            }
            for outcome in outcomes
        ],
    }


def _told(outcome: dict[str, Any]) -> str:
    told = f"{outcome['kind']} {outcome['command_id']} {outcome['status']}"
    return f"{told}: {outcome['code']}" if outcome["code"] else told


def _say_more(shelf: DeadLetterQueue) -> None:
    if shelf.more:
        _complain(f"{shelf.more} more were not looked at (--limit)")


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _print_json(document: dict[str, Any]) -> None:
    _print(json.dumps(document, indent=2, ensure_ascii=False))


def _complain(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
