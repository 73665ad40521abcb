"""A run of the same buyers against the baseline, with a check of its tables."""

import asyncpg

from loadtest.checks.balance import Held, check_balance
from loadtest.fixtures import Fixtures, new_accounts
from loadtest.http.fixtures import mint
from loadtest.http.load_generator import HttpLoad
from loadtest.options import HttpOptions
from loadtest.progress import Progress
from loadtest.report.result import Result, summarise
from loadtest.runner import Meter, run
from shared.ids import new_id

CONNECT_SECONDS = 10
PUT_ON_SALE = (
    "INSERT INTO baseline.ticket_types (id, total, reserved)"
    " SELECT unnest($1::uuid[]), $2::integer, 0"
)
HELD = """
    SELECT ticket_type.id::text, ticket_type.total, ticket_type.reserved,
           coalesce(sum(hold.quantity), 0), coalesce(sum(hold.quantity), 0)
    FROM baseline.ticket_types AS ticket_type
    LEFT JOIN baseline.holds AS hold ON hold.ticket_type_id = ticket_type.id
    WHERE ticket_type.id = ANY ($1::uuid[])
    GROUP BY ticket_type.id
    ORDER BY ticket_type.id
"""


class BaselineAuditor:
    """Reads the tables of the baseline."""

    source = "the database"

    def __init__(self, connection: asyncpg.Connection, ticket_type_ids: list[str]) -> None:
        self._connection = connection
        self._ticket_type_ids = ticket_type_ids

    async def held(self) -> list[Held]:
        rows = await self._connection.fetch(HELD, self._ticket_type_ids)
        return [Held(*row) for row in rows]

    async def sales(self) -> None:
        return None

    async def recorded(self) -> None:
        return None


async def run_baseline(options: HttpOptions, progress: Progress, meter: Meter) -> Result:
    """Put tickets on sale, send, check the books. Raises `PreparationError`."""
    organizer, *buyers = new_accounts(options.workload.buyers + 1)
    ids = sorted(new_id() for _ in range(options.workload.ticket_types))
    connection = await asyncpg.connect(options.database_url, timeout=CONNECT_SECONDS)
    try:
        await connection.execute(PUT_ON_SALE, ids, options.workload.tickets)
        tokens = [mint(buyer.user_id, options.jwt_secret or "") for buyer in buyers]
        load = HttpLoad(options, Fixtures(organizer, new_id(), ids, buyers), tokens)
        try:
            await load.connect(progress)
            effort = await run(load, options.seconds, progress, meter)
        finally:
            load.close()
        verdict = await check_balance(load.counters, BaselineAuditor(connection, ids))
    finally:
        await connection.close()
    settings = options.settings()
    return summarise("of the baseline", settings, load.counters, load.timeline, effort, verdict)
