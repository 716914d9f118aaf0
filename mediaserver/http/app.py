"""The application: routes, middleware, and what becomes of exceptions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from mediaserver import __version__, metrics
from mediaserver.http import (
    administration,
    delays,
    development,
    effects,
    event_log,
    events,
    health,
    library,
    listeners,
    matrix,
    openapi,
    pages,
    participants,
    players,
    problems,
    rooms,
    seats,
    whip,
)
from mediaserver.http.body import BodyLimit
from mediaserver.http.cors import Cors
from mediaserver.http.idempotency import Answers
from mediaserver.http.paths import RawPath
from mediaserver.http.rates import Rates
from mediaserver.http.traces import Traces
from mediaserver.node import Node

# For webhooks to be told how it all ended, when nothing of it is kept for the next start.
LAST_WORDS_S = 2.0


def create_app(node: Node) -> FastAPI:
    """The node runs while the app does. FileNotFoundError when the page's files are missing from the installation."""
    app = FastAPI(
        title="Media server",
        version=__version__,
        generate_unique_id_function=lambda route: route.name,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.node = node
    app.state.registry = metrics.registry(node)
    app.state.answers = Answers()
    # Addresses are compared in turn, each costs 2 µs: what is asked most often comes first.
    for module in (
        seats,
        listeners,
        participants,
        delays,
        players,
        effects,
        matrix,
        rooms,
        whip,
        events,
        library,
        administration,
        event_log,
        health,
    ):
        app.include_router(module.router)
    if node.settings.development:
        app.include_router(development.router)
    app.include_router(pages.router(node.settings.development))
    problems.install(app)
    openapi.install(app)
    # The last added is the outermost: RawPath, Cors, Rates, Traces, BodyLimit, routes.
    app.add_middleware(BodyLimit, node=node)
    app.add_middleware(Traces)
    app.add_middleware(Rates, node=node)
    app.add_middleware(Cors, routes=app, origins=node.settings.cors_origins)
    app.add_middleware(RawPath)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    node: Node = app.state.node
    node.start()
    try:
        yield
    finally:
        node.close()
        if not node.store.survives:
            await node.webhooks.flush(LAST_WORDS_S)
        node.stop()
