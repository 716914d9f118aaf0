"""The page and the SDK over HTTP."""

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path
from posixpath import join, normpath

import httpx
import pytest
from starlette.responses import PlainTextResponse

from roomservice.pages import Pages

WEB = Path(__file__).parent.parent / "web"


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    pages = Pages(PlainTextResponse("inner", 404), "https://media.example:8443/base")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(pages), base_url="http://rooms") as client:
        yield client


async def served_from(http: httpx.AsyncClient, *asked_first: str) -> set[str]:
    """All that these load, and what that loads in turn."""
    asked, seen = [*asked_first], set[str]()
    while asked:
        address = asked.pop()
        if address in seen:
            continue
        seen.add(address)
        response = await http.get(address)
        assert response.status_code == 200, address
        assert response.headers["x-content-type-options"] == "nosniff"
        folder = address.rpartition("/")[0] + "/"
        for found in re.findall(r"(?:src|href)=\"([^\"]+)\"|(?:from|import) '([^']+)'", response.text):
            target = found[0] or found[1]
            asked.append(normpath(join(folder, target)))
    return seen


async def test_the_page_and_all_that_it_loads_are_served(http: httpx.AsyncClient) -> None:
    assert {"/app.js", "/room.css", "/sdk/voice-room.js", "/favicon.svg"} <= await served_from(http, "/")


async def test_the_examples_and_all_that_they_load_are_served(http: httpx.AsyncClient) -> None:
    examples = [f"/sdk/examples/{path.name}" for path in WEB.joinpath("sdk/examples").glob("*.html")]
    assert len(examples) == 3
    assert {"/sdk/examples/call.js", "/sdk/examples/example.css", "/sdk/call.js"} <= await served_from(http, *examples)


async def test_a_first_visit_costs_less_than_100_kilobytes() -> None:
    files = [*WEB.joinpath("room").iterdir(), *WEB.joinpath("sdk").glob("*.js")]
    assert sum(len(gzip.compress(file.read_bytes())) for file in files) < 100_000


async def test_it_is_packed_for_who_takes_that_and_not_sent_again_while_it_is_the_same(http: httpx.AsyncClient) -> None:
    plain = await http.get("/app.js", headers={"Accept-Encoding": "identity"})
    packed = await http.get("/app.js")
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content == WEB.joinpath("room/app.js").read_bytes()
    again = await http.get("/app.js", headers={"If-None-Match": packed.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await http.head("/")).content == b""


async def test_the_page_may_reach_the_media_server_and_nothing_else(http: httpx.AsyncClient) -> None:
    policy = (await http.get("/")).headers["content-security-policy"]
    assert "connect-src 'self' https://media.example:8443;" in policy


@pytest.mark.parametrize(
    "address", ["/index.html", "/../pyproject.toml", "/sdk/", "/sdk/../room/app.js", "/room/app.js", "/x"]
)
async def test_what_is_no_file_of_the_page_is_for_who_is_inside(http: httpx.AsyncClient, address: str) -> None:
    assert (await http.get(address)).text == "inner"


async def test_other_methods_are_for_who_is_inside(http: httpx.AsyncClient) -> None:
    assert (await http.post("/")).text == "inner"
