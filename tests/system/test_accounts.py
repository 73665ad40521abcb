"""Accounts: registration, log-in, and the current user."""

import pytest

from shared.ids import new_id
from tests.system.amqp import Queue, command
from tests.system.clients import PASSWORD, SOME_HASH, Person, Site, fresh_email, refused, succeeded


async def test_registering_creates_a_user_at_the_place_that_location_names(site: Site) -> None:
    email = fresh_email()
    registered = await site.register(email)
    user = succeeded(registered, 201)["user"]
    assert user == {"id": user["id"], "email": email}
    assert registered.json()["kind"] == "register_user"

    logged_in = await site.log_in(email)
    token = logged_in.json()["access_token"]
    place = site.urls[0] + registered.headers["location"]
    found = await site.http.get(place, headers={"Authorization": f"Bearer {token}"})
    assert found.json() == user


async def test_a_token_is_a_bearer_token_that_expires(site: Site, organizer: Person) -> None:
    answer = await site.log_in(organizer.email)
    assert answer.status_code == 200
    token = answer.json()
    assert set(token) == {"access_token", "token_type", "expires_in"}
    assert token["token_type"] == "bearer"
    assert token["expires_in"] > 0


async def test_the_token_of_one_gateway_serves_at_the_other(organizer: Person) -> None:
    for via in (0, 1):
        me = await organizer.get("/me", via=via)
        assert me.json() == {"id": organizer.id, "email": organizer.email}


async def test_a_wrong_password_and_an_unknown_address_are_answered_alike(
    site: Site, organizer: Person
) -> None:
    wrong = await site.log_in(organizer.email, "not the password")
    unknown = await site.log_in(fresh_email(), PASSWORD)
    refused(wrong, 401, "invalid_credentials")
    assert wrong.headers["www-authenticate"]
    assert unknown.status_code == wrong.status_code
    assert unknown.content == wrong.content


async def test_a_login_is_a_form_and_nothing_else(site: Site, organizer: Person) -> None:
    url = f"{site.urls[0]}/v1/tokens"
    body = {"username": organizer.email, "password": PASSWORD}
    refused(await site.http.post(url, json=body), 415, "unsupported_media_type")
    form = body | {"grant_type": "client_credentials"}
    refused(await site.http.post(url, data=form), 422, "invalid_request")


@pytest.mark.parametrize("length", [12, 128])
async def test_a_password_of_12_to_128_characters_is_accepted(site: Site, length: int) -> None:
    email, password = fresh_email(), "é" * length
    succeeded(await site.register(email, password), 201)
    assert (await site.log_in(email, password)).status_code == 200


@pytest.mark.parametrize("length", [0, 11, 129, 60_000])
async def test_a_refused_password_is_not_quoted(site: Site, length: int) -> None:
    answer = await site.register(fresh_email(), "q" * length)
    (error,) = refused(answer, 422, "invalid_request")["errors"]
    assert error["loc"][-1] == "password"
    assert "qqqq" not in answer.text


@pytest.mark.parametrize("password", ["correct\0horse battery", "correct horse\u2028battery"])
async def test_a_password_with_a_control_character_is_refused_in_words(
    site: Site, password: str
) -> None:
    answer = await site.register(fresh_email(), password)
    (error,) = refused(answer, 422, "invalid_request")["errors"]
    assert error["msg"] == "must not contain control, private or unassigned characters"


async def test_a_password_is_the_same_composed_and_decomposed(site: Site) -> None:
    composed, decomposed = "crème brûlée 12", "cre\u0300me bru\u0302le\u0301e 12"
    for registered, typed in ((composed, decomposed), (decomposed, composed)):
        email = fresh_email()
        succeeded(await site.register(email, registered), 201)
        assert (await site.log_in(email, typed)).status_code == 200


async def test_the_characters_of_a_password_are_counted_in_its_normal_form(site: Site) -> None:
    email = fresh_email()
    (error,) = refused(await site.register(email, "e\u0301" * 11), 422, "invalid_request")["errors"]
    assert error["msg"] == "must have 12 to 128 characters"
    succeeded(await site.register(email, "e\u0301" * 128), 201)
    for typed in ("e\u0301", "é"):
        assert (await site.log_in(email, typed * 128)).status_code == 200


async def test_a_registration_is_repeated_in_another_spelling_of_its_password(site: Site) -> None:
    headers, email = {"Idempotency-Key": new_id()}, fresh_email()
    for password in ("crème brûlée 12", "cre\u0300me bru\u0302le\u0301e 12"):
        succeeded(await site.register(email, password, **headers), 201)


@pytest.mark.parametrize(
    "email",
    [
        "",
        "nobody",
        "a@b@c",
        "a b@example.org",
        "x" * 250 + "@x.org",
        "änn@example.org",
        "a@☃.example",
    ],
)
async def test_an_invalid_email_address_is_refused_in_words(site: Site, email: str) -> None:
    (error,) = refused(await site.register(email), 422, "invalid_request")["errors"]
    assert error["loc"][-1] == "email"
    assert "must have" in error["msg"] or "must be" in error["msg"] or "at most" in error["msg"]


async def test_an_international_domain_has_two_spellings_and_one_account(
    site: Site, queue: Queue
) -> None:
    name = fresh_email().partition("@")[0]
    international, ascii_form = f"{name}@bücher.example", f"{name}@xn--bcher-kva.example"
    user = succeeded(await site.register(international), 201)["user"]
    assert user["email"] == ascii_form
    for again in (ascii_form, ascii_form.upper(), f"{name}@BU\u0308CHER.example", international):
        refused(await site.register(again), 409, "email_taken")
        assert (await site.log_in(again)).status_code == 200
        outcome = await queue.decide_one(
            command("register_user", new_id(), email=again, password_hash=SOME_HASH)
        )
        assert outcome["refusal"]["code"] == "email_taken"


async def test_a_hash_that_would_take_2_gib_is_refused_on_the_queue(queue: Queue) -> None:
    expensive = SOME_HASH.replace("m=19456", "m=2097152")
    outcome = await queue.decide_one(
        command("register_user", new_id(), email=fresh_email(), password_hash=expensive)
    )
    assert outcome["refusal"]["code"] == "unprocessable"


async def test_an_address_is_registered_once_in_whatever_case(site: Site) -> None:
    email = fresh_email()
    succeeded(await site.register(email), 201)
    for again in (email, email.upper()):
        answer = await site.register(again, "another password")
        assert set(refused(answer, 409, "email_taken")) == {"command_id"}
    assert (await site.log_in(email, "another password")).status_code == 401


async def test_a_registration_is_retried_under_its_key_at_either_gateway(site: Site) -> None:
    key, body = new_id(), {"email": fresh_email(), "password": PASSWORD}
    headers = {"Idempotency-Key": key, "Prefer": "wait=10"}
    answers = [
        await site.http.post(f"{url}/v1/users", json=body, headers=headers)
        for url in [*site.urls, site.urls[0]]
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len({answer.content for answer in answers}) == 1
    other = body | {"password": "another password"}
    answer = await site.http.post(f"{site.urls[0]}/v1/users", json=other, headers=headers)
    assert refused(answer, 422, "command_id_reused") == {"command_id": key}
