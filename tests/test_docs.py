"""The documentation's promises about the tree: its links lead somewhere, its metrics and the dashboard's exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mediaserver.metrics import plane_metric, webhook_metrics
from tests.edge import serving

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
