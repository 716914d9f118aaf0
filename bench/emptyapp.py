"""The floor of a control call: an ASGI application that reads the request and answers what a call answers, no more.

It is served as the media server is: the same parser, the same loop, the same options.
"""

import socket

import uvicorn
from starlette.types import Receive, Scope, Send

from mediaserver.server import http_config

BODY = (
    b'{"may_publish":true,"gain_db":0.0,"seat":3,"mutes":{"host":true},"user":"guest","csrc":2869031511,"heard":false}'
)
HEADERS = [
    (b"etag", b'"0123456789ab.123456"'),
    (b"content-length", str(len(BODY)).encode()),
    (b"content-type", b"application/json"),
]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


def serve(descriptor: int) -> None:
    """On the listening socket of this descriptor, until SIGTERM."""
    uvicorn.Server(http_config(app, lifespan="off")).run(sockets=[socket.socket(fileno=descriptor)])
