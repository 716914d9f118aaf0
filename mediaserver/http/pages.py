"""What a person looks at: a page to talk and listen in a room, the kinds of problems, the API's description.

The last stands in for FastAPI's own /docs, which loads its scripts from another server: this one has none.
"""

from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

import mediaserver
from mediaserver.http import reference
from mediaserver.http.problems import KINDS

TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
PARTS = {"/": "media", "/ops/": "ops", "/sdk/": "sdk"}  # of web/; the rest is the room service's
SHARED = ("favicon.svg", "tokens.css")
HEADERS = {
    "Cache-Control": "no-cache",
    # The page needs its own files, the microphone and nothing from elsewhere.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
BANNER = '<p class="development">Development mode: anybody who reaches this server can join any room.</p>'
SELF_CONTAINED = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def router(development: bool) -> APIRouter:
    """The pages. FileNotFoundError when they are missing."""
    router = APIRouter(include_in_schema=False)
    for address, path in web_files().items():
        banner = BANNER if development and address == "/" else ""
        router.add_api_route(address, _serve(path, banner), methods=["GET", "HEAD"])
    router.add_api_route("/problems", problems, methods=["GET", "HEAD"])
    router.add_api_route("/docs", docs, methods=["GET", "HEAD"])
    return router


def web_files() -> dict[str, Path]:
    """The pages' files by their addresses; a directory's index.html is at the directory's. They are beside this
    package, in a checkout and in site-packages alike."""
    web = Path(mediaserver.__file__).parent.parent / "web"
    if not (web / "media" / "index.html").is_file():
        raise FileNotFoundError(f"There is no page at {web / 'media'}.")
    files = {f"/{name}": web / name for name in SHARED}
    for address, part in PARTS.items():
        of_part = sorted(path for path in (web / part).iterdir() if path.suffix in TYPES)
        files |= {f"{address}{path.name}".removesuffix("index.html"): path for path in of_part}
    return files


async def problems() -> HTMLResponse:
    return HTMLResponse(reference.problems(KINDS.values()), headers=SELF_CONTAINED)


async def docs(request: Request) -> HTMLResponse:
    return HTMLResponse(reference.page(request.app.openapi()), headers=SELF_CONTAINED)


def _serve(path: Path, banner: str) -> Callable[[], Response]:
    def serve() -> Response:
        # Read each time: the page is small, and who works on it wants to see his change.
        content = path.read_text(encoding="utf-8").replace("</main>", f"{banner}</main>")
        return Response(content, headers=HEADERS, media_type=TYPES[path.suffix])

    return serve
