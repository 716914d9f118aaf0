"""The documentation's promises about the tree: its links lead somewhere, its list of counters is whole."""

import re
from pathlib import Path

import pytest

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


def test_every_counter_of_the_plane_is_documented() -> None:
    counters = re.findall(r"X\((\w+), \"", (ROOT / "native/src/stats.hpp").read_text())
    assert len(counters) > 10
    operations = (ROOT / "docs/operations.md").read_text()
    missing = [name for name in counters if f"mediaserver_plane_{name.removesuffix('_ns')}" not in operations]
    assert missing == []
