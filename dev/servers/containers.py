"""Starts servers in Docker, with testcontainers."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress

import docker
from docker.errors import DockerException, NotFound
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.exceptions import ContainerStartException

from dev.home import Home
from dev.servers.discovery import Unavailable

PING_SECONDS = 3
STOP_SECONDS = 15

# Containers are stopped here. The reaper would need another image, which not every machine can
# pull.
testcontainers_config.ryuk_disabled = True


def docker_answers() -> bool:
    try:
        client = docker.from_env(timeout=PING_SECONDS)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except DockerException:
        return False
    finally:
        client.close()


def start_container(
    home: Home,
    stack: ExitStack,
    *,
    name: str,
    image: str,
    port: int,
    environment: Mapping[str, str],
    data: str,
    arguments: Sequence[str] = (),
) -> tuple[str, int]:
    """Start a container, return its host and port. A lasting home keeps `data` for the next one."""
    full_name = f"{home.name}-{name}"
    # RabbitMQ stores its data under the host name
    container = (
        DockerContainer(image, name=full_name, hostname=name)
        .with_envs(**environment)
        .with_exposed_ports(port)
    )
    if arguments:  # else the image's own command
        container.with_command(list(arguments))
    if home.lasting:
        container.with_volume_mapping(full_name, data, "rw")
    try:
        _remove_left_over(container, full_name)
        stack.callback(_stop, container)
        container.start()
        return container.get_container_host_ip(), container.get_exposed_port(port)
    except DockerException as failure:
        raise Unavailable(f"Docker answers, but cannot run {image}: {failure}") from failure


def _remove_left_over(container: DockerContainer, name: str) -> None:
    """Remove the container of an earlier run that was killed."""
    try:
        container.get_docker_client().client.containers.get(name).remove(force=True)
    except NotFound:
        return


def _stop(container: DockerContainer) -> None:
    with suppress(ContainerStartException):  # it never started
        container.get_wrapped_container().stop(timeout=STOP_SECONDS)
    container.stop()
