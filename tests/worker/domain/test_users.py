"""Registering: one user for each e-mail address and each ID."""

import pytest

from shared.ids import new_id
from shared.outcomes import User, UserResult
from shared.refusals import EmailTaken
from tests.builders import a_book, create_event, register_user
from worker.domain.decide import decide

ANN = new_id()


def test_a_user_gets_the_id_that_the_command_names() -> None:
    book = a_book()

    assert decide(book, register_user(ANN, email="ann@example.com")) == UserResult(
        User(ANN, "ann@example.com")
    )
    assert [user.id for user in book.changes.new_users] == [ANN]


@pytest.mark.parametrize(
    ("user_id", "email"),
    [
        (new_id(), "ann@example.com"),
        (new_id(), "ANN@example.com"),
        (ANN, "other@example.com"),
        (ANN, "ann@example.com"),
    ],
    ids=["the address", "the address in other letters", "the ID", "both"],
)
@pytest.mark.parametrize("registered", ["before", "in this batch"])
def test_a_taken_address_or_id_cannot_be_registered(
    registered: str, user_id: str, email: str
) -> None:
    book = a_book(users=[ANN], emails=["ann@example.com"])
    if registered == "in this batch":
        book = a_book()
        decide(book, register_user(ANN, email="Ann@example.com"))

    noted = list(book.changes.new_users)
    assert decide(book, register_user(user_id, email=email)) == EmailTaken()
    assert book.changes.new_users == noted


def test_the_address_is_kept_as_it_was_written() -> None:
    result = decide(a_book(), register_user(ANN, email="Ann@Example.com"))

    assert result.user.email == "Ann@Example.com"


def test_a_new_user_may_act_in_the_same_batch() -> None:
    book = a_book()
    decide(book, register_user(ANN))

    assert decide(book, create_event(ANN)).event.organizer_id == ANN


def test_the_password_hash_is_in_no_result() -> None:
    command = register_user(ANN)

    assert command.password_hash not in repr(decide(a_book(), command))
