"""`make up`: the whole system in the foreground, from nothing to a URL to try, until Ctrl-C."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping

import httpx

from deploy.demo import add_demo_event
from dev.addresses import LOOPBACK
from dev.interruption import stop_on_signals
from dev.plan import Plan, Refused
from dev.processes import REPOSITORY
from dev.progress import say, slowly
from dev.search import Unavailable
from dev.services import services
from dev.supervisor import Child, supervised

MIGRATION_SECONDS = 120.0
READY_SECONDS = 60.0
DEATHS_BEFORE_GIVING_UP = 3
REQUEST_SECONDS = 2.0
LOOK_EVERY_SECONDS = 0.2


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
            # Stops before the workers do, who still decide what it has accepted.
            supervised([plan.gateway_command(environment)]) as gateways,
        ):
            with slowly("holdfast: starting"):
                for child, port in zip(workers, plan.worker_ports, strict=True):
                    await_ready(child, f"http://{LOOPBACK}:{port}")
                await_ready(gateways[0], plan.url)
            add_demo(plan.url)
            announce(plan.url, [*workers, *gateways])
            threading.Event().wait()  # until a signal interrupts us


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
    while complaint := unreadiness(url):
        if child.deaths >= DEATHS_BEFORE_GIVING_UP:
            raise Refused(f"{child.name} keeps dying, for the reason shown above.")
        if time.monotonic() > give_up_at:
            raise Refused(f"{child.name} was not ready within {READY_SECONDS:g} s: {complaint}")
        time.sleep(LOOK_EVERY_SECONDS)


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
