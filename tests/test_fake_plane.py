"""The stand-in has the interface that the compiled plane promises, so what passes with it can pass with the plane."""

import ast
from pathlib import Path

import pytest

import mediaserver
from mediaserver.plane import Event

STUB = ast.parse((Path(mediaserver.__file__).parent / "_native.pyi").read_text(encoding="utf-8"))
FAKE = ast.parse((Path(__file__).parent / "fake_plane.py").read_text(encoding="utf-8"))


def methods(tree: ast.Module, name: str) -> dict[str, str]:
    """Method name -> its parameters as written."""
    found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    return {node.name: ast.unparse(node.args) for node in found[0].body if isinstance(node, ast.FunctionDef)}


def fields(tree: ast.Module, name: str) -> set[str]:
    """Attributes, written as such or as properties."""
    found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    attributes = {ast.unparse(node.target) for node in found[0].body if isinstance(node, ast.AnnAssign)}
    return attributes | {node.name for node in found[0].body if isinstance(node, ast.FunctionDef) and is_property(node)}


def is_property(function: ast.FunctionDef) -> bool:
    return any(ast.unparse(decorator) == "property" for decorator in function.decorator_list)


def test_plane_methods_have_the_stubs_parameters() -> None:
    fake = methods(FAKE, "Plane")
    assert methods(STUB, "Plane").items() <= fake.items()


def test_slot_takes_the_stubs_options() -> None:
    slot = next(node for node in STUB.body if isinstance(node, ast.ClassDef) and node.name == "Slot")
    init = next(node for node in slot.body if isinstance(node, ast.FunctionDef))
    assert {argument.arg for argument in init.args.kwonlyargs} == fields(FAKE, "Slot")


def test_peer_stats_have_the_stubs_fields() -> None:
    assert fields(STUB, "PeerStats") == fields(FAKE, "PeerStats")


@pytest.mark.parametrize("name", [event.name for event in Event])
def test_event_kinds_are_the_stubs(name: str) -> None:
    constants = {ast.unparse(node.target) for node in STUB.body if isinstance(node, ast.AnnAssign)}
    assert name in constants
    assert any(isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name for node in FAKE.body)
