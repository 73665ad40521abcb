"""Shows dead letters to an operator, republishes or drops them."""

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
from worker.deadletters.formatting import details, summary, table
from worker.deadletters.queue import DeadLetterQueue, HeldDeadLetter, open_queue
from worker.messaging.library_patches import tolerate_unreadable_properties

DONE, PARTLY_DONE, WRONG_USAGE, UNREACHABLE = range(4)


class Settings(BaseModel):
    broker_url: BrokerUrl = Field(repr=False)


def main() -> int:
    """Return the exit code: 0 done, 1 partly done, 2 wrong usage, 3 broker unreachable."""
    arguments = read_arguments(sys.argv[1:])
    settings = read_settings(Settings)
    tolerate_unreadable_properties()
    # This program reports the broker's errors itself.
    for chatty in ("aio_pika", "aiormq"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL + 1)
    try:
        return asyncio.run(run(settings.broker_url, arguments))
    except (AMQPError, OSError, TimeoutError) as error:
        _print_error(f"the dead letters cannot be reached: {type(error).__name__}: {error}")
        return UNREACHABLE


async def run(broker_url: str, arguments: Arguments) -> int:
    async with open_queue(broker_url, arguments.limit) as queue:
        return await ACTIONS[arguments.action](queue, arguments)


async def _list(queue: DeadLetterQueue, arguments: Arguments) -> int:
    if arguments.json:
        numbered = [{"position": n} | summary(one) for n, one in enumerate(queue.letters, 1)]
        _print_json({"letters": numbered, "more": queue.more})
        return DONE
    for line in table(queue.letters, datetime.now(UTC)) if queue.letters else ["no dead letters"]:
        _print(line)
    _report_rest(queue)
    return DONE


async def _show(queue: DeadLetterQueue, arguments: Arguments) -> int:
    chosen, code = _choose(queue, arguments)
    for letter in chosen:
        shown = details(letter, reveal=arguments.reveal)
        if arguments.json:
            _print_json(shown)
            continue
        body = shown.pop("body")
        for name, content in shown.items():
            _print(f"{name}: {content}")
        _print(body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False))
    return code


async def _retry(queue: DeadLetterQueue, arguments: Arguments) -> int:
    chosen, code = _choose(queue, arguments)
    body = None
    if arguments.body is not None:
        try:
            body = arguments.body.read_bytes()
        except OSError as error:
            _print_error(f"--body: {error.strerror}: {arguments.body}")
            return WRONG_USAGE
    waiting: list[tuple[HeldDeadLetter, asyncio.Future[list[dict[str, Any]]]]] = []
    for letter in chosen:
        if fault := _why_unreadable(letter.message.body if body is None else body):
            _print_error(f"{letter.id} stays: {fault}. Correct it with --body FILE")
            code = PARTLY_DONE
            continue
        try:
            waiting.append((letter, await queue.republish(letter, body)))
        except (AMQPError, OSError, TimeoutError) as error:
            _print_error(f"{letter.id} stays: not confirmed ({type(error).__name__})")
            code = PARTLY_DONE
            break  # the broker will not confirm the others either
    if waiting:
        await asyncio.wait([answer for _, answer in waiting], timeout=arguments.wait_seconds)
    results = [_result(letter, answer) for letter, answer in waiting]
    if arguments.json:
        _print_json({"republished": results})
        return code
    for result in results:
        for outcome in result["outcomes"] or ["no answer yet; the outcome will be recorded"]:
            told = outcome if isinstance(outcome, str) else _outcome_line(outcome)
            _print(f"{result['id']} republished: {told}")
    _report_rest(queue)
    return code


async def _drop(queue: DeadLetterQueue, arguments: Arguments) -> int:
    chosen, code = _choose(queue, arguments)
    if chosen and not arguments.yes:
        if not sys.stdin.isatty():
            _print_error("standard input is not a terminal: confirm with --yes")
            return WRONG_USAGE
        for line in table(chosen, datetime.now(UTC)):
            _print(line)
        # In a thread: the connection needs the event loop meanwhile.
        question = f"Drop {len(chosen)} permanently? [y/N] "
        if (await asyncio.to_thread(input, question)).strip().lower() not in {"y", "yes"}:
            return PARTLY_DONE
    for letter in chosen:
        await queue.drop(letter)
    dropped = [letter.id for letter in chosen]
    if arguments.json:
        _print_json({"dropped": dropped})
    else:
        for id in dropped:
            _print(f"{id} dropped")
        _report_rest(queue)
    return code


ACTIONS: dict[str, Callable[[DeadLetterQueue, Arguments], Coroutine[Any, Any, int]]] = {
    "list": _list,
    "show": _show,
    "retry": _retry,
    "drop": _drop,
}


def _choose(queue: DeadLetterQueue, arguments: Arguments) -> tuple[list[HeldDeadLetter], int]:
    """Return the chosen letters, and the exit code: `PARTLY_DONE` where one is missing."""
    if arguments.all:
        return queue.letters, DONE
    if arguments.reason is not None:
        return [one for one in queue.letters if one.reason == arguments.reason], DONE
    chosen = [one for one in queue.letters if {one.id, *one.command_ids} & {*arguments.ids}]
    missing = {*arguments.ids}.difference(*({one.id, *one.command_ids} for one in chosen))
    for id in sorted(missing):
        _print_error(f"{id}: no such dead letter among the {len(queue.letters)} fetched")
    if missing:
        _report_rest(queue)
    return chosen, PARTLY_DONE if missing else DONE


def _why_unreadable(body: bytes) -> str | None:
    """Return why a body would come straight back: no command in it can be read."""
    entries = read_commands(body)
    unreadable = [entry.error for entry in entries if isinstance(entry, Unreadable)]
    return unreadable[0] if len(unreadable) == len(entries) else None


def _result(
    letter: HeldDeadLetter, answer: "asyncio.Future[list[dict[str, Any]]]"
) -> dict[str, Any]:
    """Return the outcomes of a republished letter, without their secrets."""
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


def _outcome_line(outcome: dict[str, Any]) -> str:
    told = f"{outcome['kind']} {outcome['command_id']} {outcome['status']}"
    return f"{told}: {outcome['code']}" if outcome["code"] else told


def _report_rest(queue: DeadLetterQueue) -> None:
    if queue.more:
        _print_error(f"{queue.more} more were not fetched (--limit)")


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _print_json(document: dict[str, Any]) -> None:
    _print(json.dumps(document, indent=2, ensure_ascii=False))


def _print_error(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
