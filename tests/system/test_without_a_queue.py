"""A gateway without a queue to publish to never answers that a command was accepted."""

import httpx

from tests.deployment import own_deployment
from tests.system.clients import Site, eventually, fresh_email, is_live, refused, succeeded


async def test_before_the_first_worker_there_is_no_queue_and_no_202(
    http: httpx.AsyncClient, template_url: str
) -> None:
    async with own_deployment(template_url) as deployment:
        gateway = deployment.add("gateway", deployment.gateways)
        await gateway.launch()
        site = Site(deployment, http)
        await eventually(lambda: is_live(gateway, http), bool, within_seconds=20)
        for prefer in ("respond-async", "wait=10"):
            answer = await site.register(fresh_email(), Prefer=prefer)
            assert refused(answer, 503, "broker_unavailable")["command_id"]
            assert int(answer.headers["retry-after"]) >= 1
        # The queue comes with the first worker, and the gateway finds it by itself.
        await deployment.add("worker", deployment.workers).start()
        await gateway.ready()
        succeeded(await site.register(fresh_email()), 201)
