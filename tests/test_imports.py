"""Which module may know which: HTTP asks the model, the plane tells sessions, and never the other way."""

import ast
import sys
from pathlib import Path

import pytest

import mediaserver
import roomservice

PACKAGE = Path(mediaserver.__file__).parent

# Module -> what it may import of the package. The compiled plane is `_native`, the HTTP edge is one entry.
ALLOWED: dict[str, set[str]] = {
    "kernels": set(),
    "place": set(),
    "events": set(),
    "store": {"events"},
    "buckets": set(),
    "admission": set(),
    "tracing": set(),
    "logs": {"buckets"},
    "load": {"admission", "logs", "plane"},
    "outbox": {"events", "store"},
    "webhook_signature": set(),
    "webhooks": {"events", "outbox", "settings", "store", "webhook_signature"},
    "commands": {"programme", "voices"},
    "voices": set(),
    "programme": {"music"},
    "performing": {"_native", "commands", "matrix", "place", "plane", "voices"},
    "effects": {"_native", "commands", "logs", "matrix", "place", "plane", "programme"},
    "soundbank": {"_native", "effects"},
    "jukebox": {"commands", "music", "place", "plane", "programme"},
    "schema_base": {"matrix", "names"},
    "schema_programme": {"ktv", "schema_base"},
    "matrix": {"programme"},
    "scenarios": {"commands"},
    "ktv": set(),
    "singers": {"census", "ktv", "model", "sessions"},
    "model": {"commands", "ktv", "matrix", "place", "programme", "scenarios", "voices"},
    "music": {"_native", "buckets", "logs", "plane"},
    "schema": {"schema_base", "schema_programme"},
    "schema_media": {"schema_base"},
    "schema_matrix": {"schema_base"},
    "matrix_view": {"matrix", "model", "programme"},
    "document": {
        "commands",
        "matrix",
        "model",
        "music",
        "programme",
        "scenarios",
        "schema",
        "schema_base",
        "schema_programme",
        "voices",
    },
    "merge": set(),
    "quality": set(),
    "journal": {"document", "events", "model", "schema", "store"},
    "files": set(),
    "tls": {"files"},
    "turn": set(),
    "keys": {"files"},
    "signing": set(),
    "used_ids": set(),
    "names": set(),
    "tokens": {"keys", "names", "signing"},
    "dtls": set(),
    "sdp": {"dtls"},
    "settings": {"events", "files", "keys", "music", "tls", "turn", "webhook_signature"},
    "negotiation": {"sdp", "dtls"},
    "plane": {"_native"},
    "feed": {"model"},
    "microphone": set(),
    "streams": {"feed", "model"},
    "sessions": {
        "logs",
        "commands",
        "model",
        "plane",
        "dtls",
        "sdp",
        "negotiation",
        "quality",
        "microphone",
        "_native",
    },
    "census": {"commands", "model", "sessions"},
    "capacity": {"admission", "census", "model", "plane", "settings"},
    "peers": {"_native", "dtls", "model", "negotiation", "plane", "sdp", "sessions", "settings"},
    "playback": {
        *("commands", "effects", "feed", "jukebox", "model", "music", "plane", "programme", "schema_programme"),
        "soundbank",
    },
    "observer": {"census", "feed", "logs", "microphone", "model", "quality", "sessions", "streams"},
    "node": {
        *("capacity", "census", "commands", "dtls", "matrix", "model", "music", "peers", "performing", "plane"),
        *("playback", "sdp", "sessions", "singers", "streams", "settings", "keys", "used_ids"),
        *("admission", "document", "journal", "load", "logs", "observer", "outbox", "schema", "store", "tracing"),
        "webhooks",
    },
    "drain": {"node", "logs"},
    "realtime": set(),
    "metrics": {"commands", "model", "music", "node", "sessions", "admission", "load", "store", "webhooks"},
    "http": {
        *("commands", "model", "node", "sessions", "negotiation", "sdp"),
        *("feed", "streams", "settings", "keys", "tokens", "used_ids", "matrix", "metrics"),
        *("capacity", "peers", "playback"),  # what they refuse
        *("admission", "buckets", "logs", "tracing"),
        *("ktv", "music", "programme", "schema_base", "schema_programme"),
        *("document", "merge", "scenarios", "schema", "names", "store", "events", "outbox"),
        *("music", "schema_media", "schema_matrix", "matrix_view"),
        *("webhooks", "webhook_signature"),  # what OpenAPI says of deliveries
    },
    "server": {
        "http",
        "node",
        "plane",
        "dtls",
        "settings",
        "store",
        "kernels",
        "_native",
        "drain",
        "logs",
        "tracing",
        "music",
        "realtime",
    },
    "client": {
        *("events", "merge", "signing", "webhook_signature"),
        *("schema", "schema_base", "schema_media", "schema_programme"),
    },
    "loadgen": {"_native", "client", "dtls", "schema"},
    "commandline": {
        *("client", "files", "keys", "loadgen", "settings"),
        *("schema", "schema_base", "schema_media", "schema_programme"),
    },
    "cli": {"commandline", "settings", "server", "tracing"},
}
# The model is pure: it has no clock, no sockets, no event loop. What it may use of the outside world is only this.
MODEL_USES = {"collections", "dataclasses", "enum", "itertools", "math", "secrets", "statistics", "typing"}


def files() -> dict[str, list[Path]]:
    """Module -> its files."""
    modules = {path.stem: [path] for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
    return modules | {path.parent.name: sorted(path.parent.glob("*.py")) for path in PACKAGE.glob("*/__init__.py")}


def imported(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def package_imports(module: str) -> set[str]:
    parts = [name.split(".") for path in files()[module] for name in imported(path)]
    used = {name[1] for name in parts if name[0] == "mediaserver" and len(name) > 1}
    return used - {module, "__version__"}


def test_the_table_names_every_module() -> None:
    assert set(files()) <= set(ALLOWED)


@pytest.mark.parametrize("module", files())
def test_a_module_imports_what_the_table_allows(module: str) -> None:
    assert package_imports(module) <= ALLOWED[module]


def test_the_table_has_no_circle() -> None:
    order: list[str] = ["_native"]
    while len(order) <= len(ALLOWED):
        free = [module for module, used in ALLOWED.items() if module not in order and used <= set(order)]
        assert free, set(ALLOWED) - set(order)
        order += free


def test_the_model_knows_neither_clock_nor_sockets_nor_event_loop() -> None:
    for module in ("model", "matrix", "commands", "ktv", "scenarios"):
        outside = {name.partition(".")[0] for path in files()[module] for name in imported(path)} - {"mediaserver"}
        assert outside <= MODEL_USES
        assert outside <= set(sys.stdlib_module_names)


# The room service's parts, in the same way. Its model knows nothing but itself.
ROOM_SERVICE = Path(roomservice.__file__).parent
MODEL_OF_ROOMS_USES = {"collections", "dataclasses", "enum", "typing"}


def test_the_room_service_knows_the_media_server_by_its_client_only() -> None:
    for path in ROOM_SERVICE.rglob("*.py"):
        used = {name for name in imported(path) if name.partition(".")[0] == "mediaserver"}
        assert all(name == "mediaserver.client" or name.startswith("mediaserver.client.") for name in used), path


def test_the_media_server_does_not_know_the_room_service() -> None:
    for module in files():
        for path in files()[module]:
            assert not {name for name in imported(path) if name.partition(".")[0] == "roomservice"}


def test_the_model_of_rooms_knows_neither_clock_nor_dice_nor_the_edges() -> None:
    for path in (ROOM_SERVICE / "model").glob("*.py"):
        names = imported(path)
        inside = {name for name in names if name.partition(".")[0] == "roomservice"}
        assert all(name.startswith("roomservice.model") for name in inside), path
        assert {name.partition(".")[0] for name in names - inside} <= MODEL_OF_ROOMS_USES, path


# From what knows nothing to what knows everything: a part may know those before it.
LAYERS: tuple[set[str], ...] = (
    {"model", "settings", "tokens", "pages", "addresses", "allowance", "body_limit", "talking_now"},
    {"commit", "meeting"},
    {"interface"},
    {"passwords"},
    {"users"},
    {"accounts", "aggregates", "bus", "hub", "library", "media", "outbox", "sound", "storage", "words"},
    {"outcome", "media_events"},
    {"engine"},
    {"hosting", "media_jobs", "presence", "room_signs", "runner", "talk"},
    {"instance", "operations", "push"},
    {"service", "wire"},
    {"appserver"},
    {"whole"},
    {"server"},
    {"cli"},
)


@pytest.mark.parametrize("number", range(len(LAYERS)))
def test_a_part_of_the_room_service_knows_those_below_it(number: int) -> None:
    below = set[str]().union(*LAYERS[:number])
    for path in ROOM_SERVICE.rglob("*.py"):
        part = path.relative_to(ROOM_SERVICE).parts[0].removesuffix(".py")
        names = [name.split(".") for name in imported(path)]
        used = {name[1] for name in names if name[0] == "roomservice" and len(name) > 1}
        assert part not in LAYERS[number] or used <= below | {part}, (path, used - below)
        assert part == "__init__" or any(part in layer for layer in LAYERS), f"{part} is in no layer"


def test_only_the_edge_knows_http() -> None:
    for module in set(files()) - {"http", "server"}:
        outside = {name.partition(".")[0] for path in files()[module] for name in imported(path)}
        assert not outside & {"fastapi", "starlette", "uvicorn", "http"}
