"""Documents point at things that exist: links, and the tests that enforce a decision."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT, documents, functions, sources

ADRS = sorted(path for path in (ROOT / "adr").glob("*.md") if path.name != "README.md")
SECTIONS = ["Context", "Decision", "Consequences", "Alternatives", "How it is enforced"]


def test_every_link_to_a_file_leads_somewhere() -> None:
    broken = []
    for path, text in documents():
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if (
                not re.match(r"[a-z]+:", target)
                and not target.startswith("#")
                and not (path.parent / target.split("#")[0]).exists()
            ):
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert broken == []


@pytest.mark.parametrize("path", ADRS, ids=lambda path: path.stem)
def test_a_decision_has_every_section_in_order(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.match(rf"# {path.stem[:3]} \w", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS


@pytest.mark.parametrize("path", ADRS, ids=lambda path: path.stem)
def test_every_test_that_a_decision_names_exists(path: Path) -> None:
    defined = {f"{source.name}::{node.name}" for source in sources("tests") for node in functions(source)}
    named = re.findall(r"tests/[\w/]+\.py::\w+", path.read_text(encoding="utf-8"))
    assert named, "a decision that nothing enforces is a wish"
    assert [name for name in named if name not in defined] == []


def test_every_decision_stands_in_the_index() -> None:
    index = (ROOT / "adr/README.md").read_text(encoding="utf-8")
    assert [path.name for path in ADRS if f"({path.name})" not in index] == []


def test_every_document_stands_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    pages = sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name != "README.md")
    assert [name for name in pages if f"({name})" not in index] == []


def test_every_changelog_fragment_is_named_by_kind() -> None:
    names = [path.name for path in (ROOT / "docs/changelog.d").iterdir() if path.name != "README.md"]
    assert [name for name in names if not re.fullmatch(r"[a-z0-9_-]+\.(added|changed|fixed|breaking)\.md", name)] == []
