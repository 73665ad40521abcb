"""Makes a vhost on a RabbitMQ that others may use: by its management API, else by rabbitmqctl."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

import httpx

from dev.addresses import is_local, with_last_part
from dev.rabbitmq import failure_to_connect

MANAGEMENT_PORT = 15672
REQUEST_SECONDS = 10.0
COMMAND_SECONDS = 60.0
EVERYTHING = ".*"


class Refused(Exception):
    """This way does not lead to a vhost here; another may."""


class Way(Protocol):
    def create(self, vhost: str) -> None: ...

    def drop(self, vhost: str) -> None: ...


def create_vhost(url: str, vhost: str) -> Way | None:
    """Makes the vhost for the user of `url`: the way by which it was made, or None without one.

    A way may reach another node than `url` names, so the vhost counts once we are let into it.
    """
    for way in ways(url):
        try:
            way.create(vhost)
            if failure_to_connect(with_last_part(url, vhost)) is None:
                return way
            way.drop(vhost)
        except Refused:
            continue
    return None


def ways(url: str) -> list[Way]:
    address = urlsplit(url)
    user, password = unquote(address.username or "guest"), unquote(address.password or "guest")
    found: list[Way] = [
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
    """rabbitmqctl, which root may use on the node of the machine."""

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
