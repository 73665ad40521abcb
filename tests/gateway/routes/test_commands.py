"""The event that a stream ends with."""

import json

from gateway.routes.commands import outcome_event
from shared.ids import new_id


def test_the_data_of_an_event_holds_no_line_end_of_unicode() -> None:
    command_id = new_id()
    document = {"command_id": command_id, "detail": "one\x85two\u2028three\u2029four"}
    event = outcome_event(command_id, json.dumps(document, ensure_ascii=False))
    first, second, data, blank = event.splitlines()
    assert (first, second, blank) == ("event: outcome", f"id: {command_id}", "")
    assert json.loads(data.removeprefix("data: ")) == document
