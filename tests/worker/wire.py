"""A TCP proxy before Postgres that can lose the answer to a commit, or keep one back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import make_url


class Wire:
    """Passes everything on, until it is told to cut."""

    def __init__(self, database_url: str) -> None:
        self._target = make_url(database_url)
        self._tasks: set[asyncio.Task[None]] = set()
        self.cut_after_commit = False
        """Send the next COMMIT on, and cut the connection instead of passing the answer back."""
        self.commits_cut = 0
        self.keeps_back_after = b""
        """Send the next statement that holds this on, and keep its answer back until told."""
        self.may_answer = asyncio.Event()
        self.kept_back = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Yield the database's URL by way of this wire."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        via = self._target.set(host="127.0.0.1", port=port)
        try:
            yield via.render_as_string(hide_password=False)
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server_reader, server_writer = await asyncio.open_connection(
            self._target.host, self._target.port or 5432
        )
        committing, late = asyncio.Event(), asyncio.Event()

        async def there() -> None:
            while data := await reader.read(65536):
                if self.cut_after_commit and b"COMMIT" in data:
                    self.cut_after_commit = False
                    committing.set()
                if self.keeps_back_after and self.keeps_back_after in data:
                    self.keeps_back_after = b""
                    late.set()
                server_writer.write(data)

        async def back() -> None:
            while data := await server_reader.read(65536):
                if committing.is_set():
                    self.commits_cut += 1
                    return
                if late.is_set():
                    self.kept_back += 1
                    await self.may_answer.wait()
                writer.write(data)

        ways = {asyncio.create_task(there()), asyncio.create_task(back())}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, server_writer):
                end.transport.abort()
            self._tasks.discard(task)
