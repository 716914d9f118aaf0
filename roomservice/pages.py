"""The voice-room page and the SDK, as files of `web/`: an ASGI app around another.

/            web/room/index.html, and beside it the rest of web/room
/sdk/        web/sdk, and its examples
/tokens.css  web/tokens.css, colours that all pages share; /favicon.svg
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

import roomservice

TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class _Read:
    changed_ns: int
    plain: bytes
    packed: bytes


class Pages:
    """media_url: of the media server as pages reach it. FileNotFoundError when the files are missing from the
    installation."""

    def __init__(self, inner: ASGIApp, media_url: str) -> None:
        self._inner = inner
        self._files = _files()
        self._read: dict[Path, _Read] = {}
        media = urlsplit(media_url)
        # Its own files, the microphone, the two servers, and pictures that users name; nothing else from elsewhere.
        policy = (
            f"default-src 'self'; connect-src 'self' {media.scheme}://{media.netloc}; img-src 'self' https: data:; "
            "frame-ancestors 'none'"
        )
        self._headers = {
            "Cache-Control": "no-cache",
            "Content-Security-Policy": policy,
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = self._files.get(scope["path"]) if scope["type"] == "http" else None
        if path is None or scope["method"] not in ("GET", "HEAD"):
            await self._inner(scope, receive, send)
            return
        await self._answer(path, Headers(scope=scope))(scope, receive, send)

    def _answer(self, path: Path, asked: Mapping[str, str]) -> Response:
        read = self._content(path)
        tag = f'"{read.changed_ns:x}"'
        headers = {**self._headers, "ETag": tag}
        if asked.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        if "gzip" in asked.get("accept-encoding", ""):
            return Response(read.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=TYPES[path.suffix])
        return Response(read.plain, headers=headers, media_type=TYPES[path.suffix])

    def _content(self, path: Path) -> _Read:
        """Read again when it was changed, for who works on it."""
        changed_ns = path.stat().st_mtime_ns
        known = self._read.get(path)
        if known is None or known.changed_ns != changed_ns:
            plain = path.read_bytes()
            known = self._read[path] = _Read(changed_ns, plain, gzip.compress(plain, mtime=0))
        return known


def _files() -> dict[str, Path]:
    """By address. They are beside this package, in a checkout and in site-packages alike."""
    web = Path(roomservice.__file__).parent.parent / "web"
    room, sdk = web / "room", web / "sdk"
    if not (room / "index.html").is_file():
        raise FileNotFoundError(f"There is no page at {room}.")
    found = {f"/{path.name}": path for path in room.iterdir() if path.suffix in TYPES}
    for folder in (sdk, sdk / "examples"):
        below = folder.relative_to(web).as_posix()
        found |= {f"/{below}/{path.name}": path for path in folder.iterdir() if path.suffix in TYPES}
    found |= {f"/{name}": web / name for name in ("favicon.svg", "tokens.css")}
    found["/"] = found.pop("/index.html")
    return found
