"""The wire format in golden files: one for each kind of command and of outcome.

A difference here is a change that deployed gateways, workers and stored outcomes have to live
with. If it is meant, and old documents can still be read, write the files anew:
`python -m tests.contracts.test_golden`.
"""

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from shared.commands import Command, Kind
from shared.messages import encode_commands, read_commands
from shared.outcomes import Outcome, decode_outcome, decode_reply, encode_outcome, encode_reply
from shared.refusals import REFUSAL_CODES
from tests.contracts.examples import COMMANDS, OUTCOMES

FOLDER = Path(__file__).parent / "golden"


def command_file(kind: str) -> Path:
    return FOLDER / f"command.{kind}.json"


def outcome_file(name: str) -> Path:
    return FOLDER / f"outcome.{name}.json"


def written(command_or_outcome: Command | Outcome) -> Any:
    if isinstance(command_or_outcome, Outcome):
        return json.loads(encode_outcome(command_or_outcome))
    (body,) = json.loads(encode_commands([command_or_outcome]))
    return body


def golden(file: Path) -> Any:
    assert file.exists(), f"{file.name} is missing: see the head of {Path(__file__).name}"
    return json.loads(file.read_text())


def differs(file: Path) -> str:
    return f"what is sent differs from {file.name}: see the head of {Path(__file__).name}"


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_command_is_encoded_as_in_its_golden_file(kind: str) -> None:
    file = command_file(kind)
    assert written(COMMANDS[kind]) == golden(file), differs(file)


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_command_is_decoded_from_its_golden_file(kind: str) -> None:
    body = b"[" + command_file(kind).read_bytes() + b"]"

    assert read_commands(body) == [COMMANDS[kind]]


@pytest.mark.parametrize("name", OUTCOMES)
def test_an_outcome_is_encoded_as_in_its_golden_file(name: str) -> None:
    file = outcome_file(name)
    assert written(OUTCOMES[name]) == golden(file), differs(file)


@pytest.mark.parametrize("name", OUTCOMES)
def test_an_outcome_is_decoded_from_its_golden_file(name: str) -> None:
    assert decode_outcome(outcome_file(name).read_bytes()) == OUTCOMES[name]


def test_a_reply_contains_the_documents_unchanged_and_in_order() -> None:
    documents = [encode_outcome(outcome) for outcome in OUTCOMES.values()]

    body = encode_reply(documents)

    assert decode_reply(body) == list(OUTCOMES.values())
    assert body.decode() == "[" + ",".join(documents) + "]"
    assert encode_reply([]) == b"[]"


def test_every_kind_of_command_has_an_example() -> None:
    kinds = {command.model_fields["kind"].default for command in get_args(Command)}

    assert set(get_args(Kind)) == kinds == set(COMMANDS)


def test_every_kind_of_command_has_an_example_of_success_and_every_code_one_of_refusal() -> None:
    names = {f"succeeded.{kind}" for kind in COMMANDS}
    names |= {f"refused.{code}" for code in REFUSAL_CODES}

    assert set(OUTCOMES) == names | {"pending"}


def test_every_golden_file_belongs_to_an_example() -> None:
    expected = {command_file(kind) for kind in COMMANDS}
    expected |= {outcome_file(name) for name in OUTCOMES}

    assert set(FOLDER.iterdir()) == expected


if __name__ == "__main__":
    for kind, command in COMMANDS.items():
        command_file(kind).write_text(json.dumps(written(command), indent=2) + "\n")
    for name, outcome in OUTCOMES.items():
        outcome_file(name).write_text(json.dumps(written(outcome), indent=2) + "\n")
