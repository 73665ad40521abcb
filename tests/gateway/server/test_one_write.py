"""The head of a response leaves with its body, and a stream's does not wait for one."""

import asyncio

import pytest

from gateway.server.one_write import PairedWrites


class Wire:
    """A transport that notes what is written to it."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def transport(wire: Wire) -> PairedWrites:
    return PairedWrites(wire, asyncio.get_event_loop())


async def test_two_writes_are_one(wire: Wire, transport: PairedWrites):
    for response in (b"1", b"2"):
        transport.write(b"head" + response)
        transport.write(b"body" + response)
    assert wire.writes == [b"head1body1", b"head2body2"]
    await asyncio.sleep(0)
    assert len(wire.writes) == 2


async def test_an_empty_body_too(wire: Wire, transport: PairedWrites):
    transport.write(b"head")
    transport.write(b"")
    assert wire.writes == [b"head"]


async def test_a_write_alone_waits_for_one_turn_of_the_loop(wire: Wire, transport: PairedWrites):
    transport.write(b"head")
    assert wire.writes == []
    await asyncio.sleep(0)
    assert wire.writes == [b"head"]


async def test_what_is_kept_leaves_before_the_farewell(wire: Wire, transport: PairedWrites):
    transport.write(b"head")
    transport.close()
    assert wire.writes == [b"head"]
    assert transport.is_closing()
    await asyncio.sleep(0)
    assert wire.writes == [b"head"]
