"""What a person looks at: the voice-room page, the kinds of problems, a plain list of the API.

The list stands in for FastAPI's own /docs, which loads its scripts from another server: this one works without.
"""

from collections.abc import Callable
from html import escape
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

import mediaserver
from mediaserver.http.problems import KINDS

TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
HEADERS = {
    "Cache-Control": "no-cache",
    # The page needs its own files, the microphone and nothing from elsewhere.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
BANNER = '<p class="development">Development mode: anybody who reaches this server can join any room.</p>'
STYLE = (
    "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}td,th{text-align:left;padding:.3rem}"
)


def router(development: bool) -> APIRouter:
    """The pages. FileNotFoundError when those of the voice room are missing."""
    router = APIRouter(include_in_schema=False)
    for path in web_files():
        address = "/" if path.name == "index.html" else f"/{path.name}"
        router.add_api_route(address, _serve(path, BANNER if development else ""), methods=["GET", "HEAD"])
    router.add_api_route("/problems", problems, methods=["GET", "HEAD"])
    router.add_api_route("/docs", docs, methods=["GET", "HEAD"])
    return router


def web_files() -> list[Path]:
    """The page's files. Their directory is beside this package, in a checkout and in site-packages alike."""
    web = Path(mediaserver.__file__).parent.parent / "web"
    if not (web / "index.html").is_file():
        raise FileNotFoundError(f"There is no page at {web}.")
    return sorted(path for path in web.iterdir() if path.suffix in TYPES)


async def problems() -> HTMLResponse:
    rows = "".join(
        f'<tr id="{kind.name}"><td>{kind.status}<td>{escape(kind.title)}<td>{escape(kind.meaning)}'
        for kind in KINDS.values()
    )
    return _document("Problems", f"<table><tr><th>Status<th>Title<th>Meaning{rows}</table>")


async def docs(request: Request) -> HTMLResponse:
    rows = "".join(
        f"<tr><td><code>{method.upper()} {escape(path)}</code><td>{escape(operation.get('summary', ''))}"
        f"<td>{escape(operation.get('description', ''))}"
        for path, operations in request.app.openapi()["paths"].items()
        for method, operation in operations.items()
    )
    note = '<p>The whole description, for tools: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1).'
    return _document("API", f"{note}<table>{rows}</table>")


def _serve(path: Path, banner: str) -> Callable[[], Response]:
    def serve() -> Response:
        # Read each time: the page is small, and who works on it wants to see his change.
        content = path.read_text(encoding="utf-8").replace("</main>", f"{banner}</main>")
        return Response(content, headers=HEADERS, media_type=TYPES[path.suffix])

    return serve


def _document(title: str, body: str) -> HTMLResponse:
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
    return HTMLResponse(f"{head}<h1>{title}</h1>{body}", headers={"X-Content-Type-Options": "nosniff"})
