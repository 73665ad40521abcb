"""`make up`: runs the whole system in the foreground until Ctrl-C."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping

import httpx

from deploy.demo import add_demo_event
from dev.addresses import LOOPBACK
from dev.plan import Plan, Refused
from dev.processes.interruption import stop_on_signals
from dev.processes.process import REPOSITORY
from dev.processes.supervisor import Child, supervised
from dev.progress import say, slowly
from dev.servers.discovery import Unavailable
from dev.services import services

MIGRATION_SECONDS = 120.0
READY_SECONDS = 60.0
MAX_EXITS = 3
REQUEST_SECONDS = 2.0
POLL_SECONDS = 0.2


def main() -> int:
    stop_on_signals()
    try:
        up(Plan.from_environment())
    except KeyboardInterrupt:
        say("stopped")
    except (Unavailable, Refused) as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


def up(plan: Plan) -> None:
    plan.check_ports()
    with services("up") as found:
        environment = plan.environment(found)
        migrate(environment)
        with (
            supervised(plan.worker_commands(environment)) as workers,
            # Stops before the workers, which still decide the commands that it has accepted.
            supervised([plan.gateway_command(environment)]) as gateways,
            # Stops before the gateway does, over which it records what it was told.
            supervised([plan.payments_command(environment)]) as payments,
        ):
            with slowly("holdfast: starting"):
                for child, port in zip(workers, plan.worker_ports, strict=True):
                    await_ready(child, f"http://{LOOPBACK}:{port}")
                await_ready(gateways[0], plan.url)
                await_ready(payments[0], plan.payments_url)
            add_demo(plan.url)
            announce(plan.url, [*workers, *gateways, *payments])
            threading.Event().wait()  # until a signal arrives


def migrate(environment: Mapping[str, str]) -> None:
    with slowly("postgres: migrating"):
        done = subprocess.run(
            [sys.executable, "-m", "migrations"],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MIGRATION_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        raise Refused(f"{done.stdout}{done.stderr}\nThe migration failed, as shown above.")


def await_ready(child: Child, url: str) -> None:
    give_up_at = time.monotonic() + READY_SECONDS
    while reason := unreadiness(url):
        if child.exits >= MAX_EXITS:
            raise Refused(f"{child.name} keeps ending, for the reason shown above.")
        if time.monotonic() > give_up_at:
            raise Refused(f"{child.name} was not ready within {READY_SECONDS:g} s: {reason}")
        time.sleep(POLL_SECONDS)


def unreadiness(url: str) -> str | None:
    try:
        answer = httpx.get(f"{url}/health/ready", timeout=REQUEST_SECONDS, trust_env=False)
    except httpx.HTTPError as failure:
        return str(failure)
    return None if answer.is_success else answer.text


def add_demo(url: str) -> None:
    try:
        if add_demo_event(url):
            say("demo: an event is on sale")
    except OSError as failure:
        say(f"demo: not added ({failure})")


def announce(url: str, children: Iterable[Child]) -> None:
    say(f"\nready: {', '.join(child.name for child in children)}")
    say(f"  {url}/docs")
    say(f"  curl {url}/v1/events")
    say("Ctrl-C stops everything.\n")


if __name__ == "__main__":
    sys.exit(main())
