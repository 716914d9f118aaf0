"""The documentation's promises about the tree: its links lead somewhere, its metrics and the dashboard's exist."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

from mediaserver.metrics import plane_metric, webhook_metrics
from mediaserver.schema import (
    MAX_METADATA_BYTES,
    MAX_METADATA_DEPTH,
    MAX_WISHES,
    LimitsDocument,
    ListenerDocument,
    MixDocument,
    RoomDocument,
    SpeakerDocument,
    SpeechDocument,
)
from mediaserver.schema_base import MAX_SEATS
from tests.edge import Edge, serving

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def headings(document: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    for link in re.findall(r"\]\((?!https?:|mailto:)([^)]*)\)", document.read_text()):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


COUNTERS = re.findall(r"X\((\w+), \"", (ROOT / "native/src/stats.hpp").read_text())
DASHBOARD = json.loads((ROOT / "docs/grafana.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
PLUMBING = ("_bucket", "_count", "_sum", "_created")


async def metrics() -> set[str]:
    """The names that queries may use. The stand-in of the plane has few counters; the real one's are in its source."""
    async with serving(webhook=[f"http://127.0.0.1:9/ {'s' * 24}"]) as edge:
        text = (await edge.http.get("/metrics")).text
    names = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    families = [*(plane_metric(name, "") for name in COUNTERS), *webhook_metrics([])]
    return names | {family.name + ("_total" if family.type == "counter" else "") for family in families}


async def test_every_metric_is_documented() -> None:
    assert len(COUNTERS) > 10
    documented = set(re.findall(r"`(mediaserver_\w+)`", (ROOT / "docs/operations.md").read_text()))
    bases = {re.sub("|".join(f"{end}$" for end in PLUMBING), "", name) for name in await metrics()}
    assert bases - documented == set()


async def test_every_metric_that_is_documented_exists() -> None:
    bases = {re.sub("|".join(f"{end}$" for end in PLUMBING), "", name) for name in await metrics()}
    documented = set(re.findall(r"^\| `(mediaserver_\w+)`", (ROOT / "docs/operations.md").read_text(), re.M))
    assert documented - bases == set()


def test_the_dashboard_can_be_imported_with_any_data_source() -> None:
    assert DASHBOARD["schemaVersion"] >= 39
    variables = {variable["name"]: variable["type"] for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"] == "datasource"
    sources = [panel["datasource"] for panel in PANELS] + [
        target["datasource"] for p in PANELS for target in p["targets"]
    ]
    assert {source["uid"] for source in sources} == {"${datasource}"}
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identifiers)) == len(identifiers)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_every_panel_has_title_unit_and_query(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    assert all(target["expr"] and target["legendFormat"] for target in panel["targets"])


async def test_every_metric_of_the_dashboard_exists() -> None:
    queries = [target["expr"] for panel in PANELS for target in panel["targets"]]
    queries += [variable.get("definition", "") for variable in DASHBOARD["templating"]["list"]]
    used = {name for query in queries for name in re.findall(r"\bmediaserver_\w+", query)}
    assert len(used) > 20
    assert used - await metrics() == set()


def test_queries_are_balanced_and_rate_counters_alone() -> None:
    for query in (target["expr"] for panel in PANELS for target in panel["targets"]):
        for opening, closing in ("()", "{}", "[]"):
            assert query.count(opening) == query.count(closing), query
        for name in re.findall(r"rate\((\w+)", query):
            assert name.endswith(("_total", "_bucket")), query


def commands(document: str, heading: str) -> list[str]:
    """The calls in the first block that begins with `api=` behind these words, without their comments."""
    text = (ROOT / document).read_text().partition(heading)[2]
    block = re.search(r"^```\n(api=.*?)^```", text, re.M | re.S)
    assert block
    values: dict[str, str] = {}
    calls = []
    for line in block[1].splitlines():
        if found := re.match(r"(\w+)=(?:'(.*)'|(\S+))$", line):
            values[found[1]] = found[2] or found[3]
        else:
            calls.append(re.sub(r"\$(\w+)", lambda name: values[name[1]], line))
    return calls


async def perform(edge: Edge, command: str) -> httpx.Response:
    """What curl would do, against the edge."""
    words = iter(shlex.split(command, comments=True))
    assert next(words) == "curl"
    method, url, headers, content, auth = "GET", "", {}, None, ("", "")
    for word in words:
        match word:
            case "-X":
                method = next(words)
            case "-H":
                name, _, headers_value = next(words).partition(":")
                headers[name] = headers_value.strip()
            case "-d":
                content = next(words)
            case "-u":
                identifier, _, secret = next(words).partition(":")
                auth = (identifier, secret)
            case "-sS" | "--fail-with-body":
                pass
            case _:
                assert not url, command
                url = word.removeprefix("http://127.0.0.1:8090")
                assert url.startswith("/v1/"), command
    return await edge.http.request(method, url, content=content, headers=headers, auth=auth)


@pytest.mark.parametrize(
    ("document", "heading", "count"),
    [("README.md", "The room service drives it", 7), ("docs/protocol.md", "## A room in five calls", 5)],
)
async def test_the_calls_in_the_documentation_work(document: str, heading: str, count: int) -> None:
    calls = commands(document, heading)
    assert len(calls) == count
    async with serving(api_key=[]) as edge:
        for call in calls:
            response = await perform(edge, call)
            assert response.is_success, (call, response.text)


PROTOCOL = (ROOT / "docs/protocol.md").read_text()


def fields(model: type[BaseModel], prefix: str = "") -> set[str]:
    """The fields of the room's document as the documentation names them; `mix` and `limits` stand for their own."""
    keys = {
        "speakers": "{user}",
        "listeners": "{user}",
        "mutes": "{source}",
        "players": "{player}",
        "effects": "{effect}",
    }
    inner: dict[str, type[BaseModel]] = {
        "speakers": SpeakerDocument,
        "listeners": ListenerDocument,
        "mix": MixDocument,
        "mix.speech": SpeechDocument,
        "limits": LimitsDocument,
    }
    found = set()
    for name in model.model_fields:
        path = prefix + name + (f".{keys[name]}" if name in keys and not prefix.startswith("limits") else "")
        if prefix + name in inner:
            found |= fields(inner[prefix + name], f"{path}.")
        if prefix + name not in ("mix", "mix.speech", "limits"):
            found.add(path)
    return found


def test_every_field_of_the_rooms_document_is_documented() -> None:
    section = PROTOCOL.partition("### The room's document")[2].partition("\n### ")[0]
    assert set(re.findall(r"^\| `([^`]+)`", section, re.M)) == fields(RoomDocument)
    example = re.search(r"^```\n(.*?)^```", section, re.M | re.S)
    assert example
    RoomDocument.model_validate_json(example[1])
    for number in (f"{MAX_METADATA_BYTES}", f"{MAX_METADATA_DEPTH} deep", f"{MAX_WISHES} users", f"{MAX_SEATS}"):
        assert number in section


async def test_every_call_of_the_control_api_is_documented() -> None:
    section = PROTOCOL.partition("## Control API")[2].partition("\n### ")[0]
    documented = set()
    for cell in re.findall(r"^\| (`(?:GET|PUT|POST|DELETE|PATCH).*?) \|", section, re.M):
        for part in cell.split(", "):
            words = part.replace("`", "").split()
            methods = [word for word in words if word.isupper()] or ["GET"]
            path = words[-1].replace("…", "/v1/rooms/{room}")
            documented |= {(method, path) for method in methods}
    async with serving() as edge:
        paths = edge.app.openapi()["paths"]
    described = {(method.upper(), path) for path, item in paths.items() if path.startswith("/v1") for method in item}
    assert documented == described
