"""IDs: UUIDv7 as in RFC 9562, and text that sorts as time does."""

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ids import first_id_at, id_at, is_uuid7, new_id, unix_ms

RFC_9562_A_6 = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
"""The test vector of appendix A.6: 2022-02-22 14:22:22.00 GMT-05:00."""
RFC_9562_A_6_MS = 1_645_557_742_000

times = st.integers(0, 2**48 - 1)


def test_the_test_vector_of_the_rfc_is_read() -> None:
    assert is_uuid7(RFC_9562_A_6)
    assert unix_ms(RFC_9562_A_6) == RFC_9562_A_6_MS


def test_an_id_carries_the_present_time() -> None:
    before = time.time_ns() // 1_000_000
    made_at = unix_ms(new_id())

    assert before <= made_at <= time.time_ns() // 1_000_000


@given(times)
def test_an_id_is_a_canonical_uuid_of_version_7(at: int) -> None:
    made = id_at(at)

    assert is_uuid7(made)
    assert str(uuid.UUID(made)) == made
    assert (uuid.UUID(made).version, uuid.UUID(made).variant) == (7, uuid.RFC_4122)
    assert unix_ms(made) == at


def test_ids_of_one_millisecond_differ() -> None:
    assert len({id_at(RFC_9562_A_6_MS) for _ in range(1_000)}) == 1_000


@given(times, times)
def test_ids_sort_by_time(one: int, other: int) -> None:
    if one != other:
        assert (id_at(one) < id_at(other)) is (one < other)


@given(st.lists(times, max_size=20))
def test_ids_sort_as_their_bytes_do(at: list[int]) -> None:
    ids = [id_at(one) for one in at]

    assert sorted(ids) == sorted(ids, key=lambda text: uuid.UUID(text).bytes)


@given(times, times)
def test_the_first_id_of_a_time_separates_earlier_ids_from_later_ones(at: int, edge: int) -> None:
    assert (id_at(at) < first_id_at(edge)) is (at < edge)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "017f22e2",
        "017f22e279b07cc398c4dc0c0c07398f",
        "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
        "urn:uuid:017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        " 017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f ",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f\n",
        "017f22e2-79b0-4cc3-98c4-dc0c0c07398f",
        "1ec9414c-232a-6b00-b3c8-9e6bdeced846",
        "017f22e2-79b0-7cc3-78c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-c8c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
        "\N{ARABIC-INDIC DIGIT ZERO}17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ],
)
def test_other_text_is_not_a_uuid7(text: str) -> None:
    assert not is_uuid7(text)


@pytest.mark.parametrize("variant", "89abAB")
def test_every_id_of_the_rfcs_variant_is_accepted(variant: str) -> None:
    assert is_uuid7(f"017F22E2-79b0-7cc3-{variant}8c4-dc0c0c07398f")
