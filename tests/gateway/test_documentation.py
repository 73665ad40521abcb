"""The page `/docs`: it works in a browser that reaches no other host."""

import re

import httpx
import pytest

from gateway.app import create_app
from gateway.routes.service import STATIC_DIRECTORY
from tests.gateway.http.test_openapi import SETTINGS

TYPES = {".js": "text/javascript", ".css": "text/css", ".png": "image/png"}


@pytest.fixture
async def client():
    transport = httpx.ASGITransport(create_app(SETTINGS))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


async def test_every_file_of_the_page_comes_from_the_gateway(client: httpx.AsyncClient):
    page = await client.get("/docs")
    assert page.status_code == 200
    assert "://" not in page.text

    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {file.rpartition(".")[2] for file in files} == {"js", "css", "png"}
    for file in files:
        served = await client.get(file)
        assert served.status_code == 200
        assert served.headers["content-type"].startswith(TYPES["." + file.rpartition(".")[2]])


async def test_the_page_shows_the_document_of_the_gateway(client: httpx.AsyncClient):
    (url,) = re.findall(r"url: '([^']+)'", (await client.get("/docs")).text)
    assert (await client.get(url)).json()["info"]["title"] == "Holdfast"


@pytest.mark.parametrize("file", ["swagger-ui-bundle.js", "swagger-ui.css"])
def test_no_file_asks_for_a_source_map(file: str):
    assert "sourceMappingURL" not in (STATIC_DIRECTORY / "swagger-ui" / file).read_text()


def test_the_licences_are_beside_the_files():
    assert {"LICENSE", "NOTICE"} <= {
        file.name for file in (STATIC_DIRECTORY / "swagger-ui").iterdir()
    }
