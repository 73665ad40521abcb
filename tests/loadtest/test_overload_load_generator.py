"""The connections of an overload, at a gateway that refuses them all."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from loadtest.overload import __main__ as command
from loadtest.overload.load_generator import LoadGenerator
from shared.ids import new_id

CONNECTIONS = 5
SECONDS = 2
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n"
    b'content-length: 21\r\n\r\n{"code":"overloaded"}'
)


@pytest.fixture
async def refusing_url() -> AsyncIterator[str]:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            writer.write(REFUSAL)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.mark.parametrize("patient", [True, False], ids=["patient", "at once"])
async def test_a_patient_client_retries_after_its_retry_after(
    refusing_url: str, patient: bool
) -> None:
    load_generator = LoadGenerator(refusing_url, new_id(), ["token"], patient=patient)
    await load_generator.open(CONNECTIONS)

    tally = await load_generator.open_loop(1_000, SECONDS, lambda _: None)

    load_generator.close()
    assert tally.shed > 0
    assert load_generator.findings.faults == {}
    assert (tally.sent <= CONNECTIONS * (SECONDS + 1)) == patient


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--url", "http://127.0.0.1:1"], "give all four options of a deployment"),
        (["--seconds", "0"], "--seconds: 0 is not from"),
        (["--connections", "1"], "--connections: 1 is not from"),
    ],
)
def test_its_arguments_are_checked(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    monkeypatch.setattr("sys.argv", ["overload", *arguments])

    with pytest.raises(SystemExit):
        command.main()

    assert complaint in capsys.readouterr().err
