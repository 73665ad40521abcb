"""An overload run: measures the peak, the overload and the recovery, and checks the books."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from loadtest.checks.auditors import DatabaseAuditor
from loadtest.http.client import HttpClient
from loadtest.http.fixtures import set_fixtures_over_http
from loadtest.options import HttpOptions
from loadtest.overload.load_generator import LoadGenerator
from loadtest.overload.tally import Tally
from loadtest.progress import Progress
from loadtest.queue.client import PreparationError
from loadtest.report.figures import percentile
from loadtest.workload import Workload

WARM_UP_SECONDS = 3.0
PEAK_CONNECTIONS = (200, 800)
"""In a closed loop: the peak is the better of the two."""
NORMAL_SHARE = 0.5
"""The load before and after the overload, as a share of the peak."""
NORMAL_P99_SECONDS = 0.25
"""Or twice the p99 before the overload, if that is longer."""


@dataclass(frozen=True, slots=True)
class OverloadOptions:
    url: str
    broker_url: str
    database_url: str
    jwt_secret: str
    times: float = 10.0
    seconds: float = 600.0
    peak_seconds: float = 10.0
    before_seconds: float = 10.0
    afterwards_seconds: float = 30.0
    connections: int = 4_000
    buyers: int = 1_000
    patient: bool = False
    """Whether clients honour Retry-After."""


@dataclass(slots=True)
class OverloadResult:
    peak: Tally = field(default_factory=Tally)
    peak_seconds: float = 0.0
    overload: Tally = field(default_factory=Tally)
    overload_seconds: float = 0.0
    normal_after_seconds: int | None = None
    """None if it did not recover while measured."""
    findings: list[str] = field(default_factory=list)

    @property
    def peak_rate(self) -> float:
        return self.peak.decided / self.peak_seconds

    @property
    def goodput(self) -> float:
        """Commands decided per second during the overload."""
        return self.overload.decided / self.overload_seconds


async def run_overload(options: OverloadOptions, progress: Progress) -> OverloadResult:
    """Raises `PreparationError` or `BrokerError`."""
    fixtures, tokens = await set_fixtures_over_http(
        HttpOptions(
            Workload(buyers=options.buyers),
            (options.url,),
            broker_url=options.broker_url,
            jwt_secret=options.jwt_secret,
        ),
        progress,
    )
    result = OverloadResult(
        peak_seconds=options.peak_seconds, overload_seconds=round(options.seconds)
    )
    load_generator = LoadGenerator(
        options.url, fixtures.ticket_type_ids[0], tokens, patient=options.patient
    )
    try:
        await _measure(load_generator, options, result, progress)
    except (OSError, TimeoutError) as error:
        raise PreparationError(
            f"A connection could not be opened: {error or 'no answer'}."
        ) from None
    finally:
        load_generator.close()
    auditor = DatabaseAuditor(options.database_url, fixtures)
    late = await _late_outcomes(options.url, load_generator, tokens)
    (held,) = await auditor.held()
    result.findings = [
        *(f"{count:,} times {what}." for what, count in load_generator.findings.faults.items()),
        *load_generator.findings.examples,
        *compare(load_generator.total, late, await auditor.recorded(), held.granted or 0),
    ]
    return result


async def _measure(
    load_generator: LoadGenerator,
    options: OverloadOptions,
    result: OverloadResult,
    progress: Progress,
) -> None:
    for connections in PEAK_CONNECTIONS:
        await load_generator.open(connections)
        await load_generator.closed_loop(connections, WARM_UP_SECONDS, lambda _: None)
        peak = await load_generator.closed_loop(
            connections,
            options.peak_seconds,
            lambda tally: progress.say(f"peak      {line(tally)}"),
        )
        result.peak = max(result.peak, peak, key=lambda tally: tally.decided)
    normal_rate = NORMAL_SHARE * result.peak_rate
    before = await load_generator.open_loop(
        normal_rate,
        options.before_seconds,
        lambda tally: progress.say(f"before    {line(tally)}"),
    )
    normal_p99 = max(NORMAL_P99_SECONDS, 2 * (before.served_times.percentile(99) or 0.0))
    await load_generator.open(options.connections)
    result.overload = await load_generator.open_loop(
        options.times * result.peak_rate,
        options.seconds,
        lambda tally: progress.say(f"overload  {line(tally)}"),
    )
    seconds = 0

    def afterwards(tally: Tally) -> None:
        nonlocal seconds
        seconds += 1
        progress.say(f"after     {line(tally)}")
        is_normal = not tally.shed and not tally.unknown and tally.decided
        p99 = tally.served_times.percentile(99)
        if not (is_normal and p99 is not None and p99 <= normal_p99):
            result.normal_after_seconds = None
        elif result.normal_after_seconds is None:
            result.normal_after_seconds = seconds

    await load_generator.open_loop(normal_rate, options.afterwards_seconds, afterwards)
    await load_generator.drain()


def line(tally: Tally) -> str:
    """Format the line of one second."""
    served, shed = tally.served_times, tally.shed_times
    return (
        f"due {tally.due:>7,}  sent {tally.sent:>7,}   decided {tally.decided:>6,}"
        f" (p99 {percentile(served, 99)})   202 {tally.pending:>5,}"
        f"   shed {tally.shed:>7,} (p50 {percentile(shed, 50)}, p99 {percentile(shed, 99)})"
        f"   unknown {tally.unknown:,}"
    )


def compare(total: Tally, late: Sequence[bool | None], recorded: int, granted: int) -> list[str]:
    """Compare the responses with the recorded outcomes; `late` are the outcomes of 202s."""
    findings = []
    lost = late.count(None)
    if lost or len(late) != total.pending:
        findings.append(
            f"{lost + total.pending - len(late):,} commands accepted with 202 are lost."
        )
    decided = total.decided + len(late) - lost
    if not decided <= recorded <= decided + total.unknown:
        findings.append(
            f"{recorded:,} outcomes are recorded; {decided:,} commands were answered, the outcome"
            f" of {total.unknown:,} is unknown."
        )
    succeeded = total.succeeded + late.count(True)
    if not succeeded <= granted <= succeeded + total.unknown:
        findings.append(
            f"{granted:,} tickets were put into carts; {succeeded:,} responses said so, the outcome"
            f" of {total.unknown:,} commands is unknown."
        )
    return findings


async def _late_outcomes(
    url: str, load_generator: LoadGenerator, tokens: Sequence[str]
) -> list[bool | None]:
    """Read the outcome of each 202: whether it succeeded, or None if it is still pending."""
    late: list[bool | None] = []
    async with HttpClient(url) as client:
        for command_id, buyer in load_generator.findings.pending:
            status = (await client.outcome(command_id, tokens[buyer]))["status"]
            late.append(None if status == "pending" else status == "succeeded")
    return late
