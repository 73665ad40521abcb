"""The order in which `make up` searches for a service."""

import pytest

from dev.servers.discovery import SKIP_VARIABLE, STEPS, Server, Step, Unavailable, first_found
from dev.servers.postgres import find_postgres

OTHERWISE = "install one."


def found(name: str) -> Server:
    return Server("amqp://there/", name, "shared")


def fails(reason: str) -> Step:
    def step() -> Server | None:
        raise Unavailable(reason)

    return step


def steps_finding(*names: str) -> dict[str, Step]:
    return {name: lambda name=name: found(name) if name in names else None for name in STEPS}


@pytest.mark.parametrize(
    ("available", "taken"),
    [
        (("environment", "local", "docker", "private"), "environment"),
        (("local", "docker", "private"), "local"),
        (("docker", "private"), "docker"),
        (("private",), "private"),
    ],
)
def test_the_nearest_server_is_taken(available: tuple[str, ...], taken: str) -> None:
    assert first_found("rabbitmq", steps_finding(*available), OTHERWISE) == found(taken)


def test_a_skipped_step_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SKIP_VARIABLE, "environment,local")
    assert first_found("rabbitmq", steps_finding(*STEPS), OTHERWISE) == found("docker")


def test_an_unknown_step_cannot_be_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SKIP_VARIABLE, "locale")
    with pytest.raises(Unavailable, match="not locale"):
        first_found("rabbitmq", steps_finding(*STEPS), OTHERWISE)


def test_a_failed_step_gives_its_reason_and_the_search_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps = steps_finding("private") | {"docker": fails("no such image")}
    assert first_found("rabbitmq", steps, OTHERWISE) == found("private")
    assert capsys.readouterr().out == "rabbitmq: no such image\n"


def test_a_named_server_is_not_replaced_by_another() -> None:
    steps = steps_finding("local") | {"environment": fails("it does not answer")}
    with pytest.raises(Unavailable, match="it does not answer"):
        first_found("rabbitmq", steps, OTHERWISE)


def test_without_any_server_the_error_says_what_to_install() -> None:
    with pytest.raises(Unavailable, match="install one"):
        first_found("rabbitmq", steps_finding(), OTHERWISE)


def test_the_refusal_of_a_named_server_shows_no_password(
    monkeypatch: pytest.MonkeyPatch, taken_port: int
) -> None:
    url = f"postgresql://someone:hush@127.0.0.1:{taken_port + 1}/holdfast"
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", url)
    with pytest.raises(Unavailable) as refusal:
        find_postgres(None, None)
    assert "HOLDFAST_DATABASE_URL" in str(refusal.value)
    assert "hush" not in str(refusal.value)
