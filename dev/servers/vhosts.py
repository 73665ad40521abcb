"""Creates a vhost on a shared RabbitMQ: through its management API, else with rabbitmqctl."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

import httpx

from dev.addresses import is_local, with_last_part
from dev.servers.rabbitmq import failure_to_connect

MANAGEMENT_PORT = 15672
REQUEST_SECONDS = 10.0
COMMAND_SECONDS = 60.0
EVERYTHING = ".*"


class Refused(Exception):
    """The vhost cannot be created this way; another way may work."""


class VhostApi(Protocol):
    def create(self, vhost: str) -> None: ...

    def drop(self, vhost: str) -> None: ...


def create_vhost(url: str, vhost: str) -> VhostApi | None:
    """Create the vhost for the user of `url`; return the API that created it, or None.

    An API may reach another node than the one in `url`, so the vhost counts only if a connection
    to it succeeds.
    """
    for api in vhost_apis(url):
        try:
            api.create(vhost)
            if failure_to_connect(with_last_part(url, vhost)) is None:
                return api
            api.drop(vhost)
        except Refused:
            continue
    return None


def vhost_apis(url: str) -> list[VhostApi]:
    address = urlsplit(url)
    user, password = unquote(address.username or "guest"), unquote(address.password or "guest")
    found: list[VhostApi] = [
        ManagementApi(f"http://{address.hostname}:{MANAGEMENT_PORT}/api", user, password)
    ]
    if is_local(url) and os.geteuid() == 0 and (program := shutil.which("rabbitmqctl")):
        found.append(ControlProgram(program, user))
    return found


@dataclass(frozen=True)
class ManagementApi:
    base_url: str
    user: str
    password: str

    def create(self, vhost: str) -> None:
        self._call("PUT", f"vhosts/{quote(vhost, safe='')}")
        self._call(
            "PUT",
            f"permissions/{quote(vhost, safe='')}/{quote(self.user, safe='')}",
            {"configure": EVERYTHING, "write": EVERYTHING, "read": EVERYTHING},
        )

    def drop(self, vhost: str) -> None:
        self._call("DELETE", f"vhosts/{quote(vhost, safe='')}")

    def _call(self, method: str, path: str, body: dict[str, str] | None = None) -> None:
        try:
            httpx.request(
                method,
                f"{self.base_url}/{path}",
                json=body or {},
                auth=(self.user, self.password),
                timeout=REQUEST_SECONDS,
                trust_env=False,  # no proxy between us and the broker
            ).raise_for_status()
        except httpx.HTTPError as failure:
            raise Refused from failure


@dataclass(frozen=True)
class ControlProgram:
    """rabbitmqctl, which root may use on the local node."""

    program: str
    user: str

    def create(self, vhost: str) -> None:
        self._call("add_vhost", vhost)
        self._call("set_permissions", "-p", vhost, self.user, EVERYTHING, EVERYTHING, EVERYTHING)

    def drop(self, vhost: str) -> None:
        self._call("delete_vhost", vhost)

    def _call(self, *arguments: str) -> None:
        try:
            subprocess.run(
                [self.program, "--quiet", *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
                timeout=COMMAND_SECONDS,
            )
        except (OSError, subprocess.SubprocessError) as failure:
            raise Refused from failure
