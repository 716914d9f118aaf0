"""Schemathesis tries `/v1` by its OpenAPI document: some good and some bad requests to each operation."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx

from tests.wired import wired

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
CONFIG = """
continue-on-failure = true
suppress-health-check = ["data_too_large", "too_slow", "filter_too_much"]

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "413", "422", "429", "503"]
"""
CHECKS = ",".join(
    ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
)


async def test_schemathesis_finds_nothing_that_the_document_does_not_say(tmp_path: Path) -> None:
    async with wired() as service:
        service.wire.sockets._desk._users.take = lambda *_: 0.0  # type: ignore[method-assign]
        token = await service.token("ann")
        made = await service.call("POST", "/v1/rooms", token, json={"title": "Jazz"})
        (tmp_path / "schemathesis.toml").write_text(CONFIG + f'[parameters]\nroom = "{made.json()["id"]}"\n')
        process = await asyncio.create_subprocess_exec(
            *(SCHEMATHESIS, "--config-file", str(tmp_path / "schemathesis.toml"), "run"),
            *(f"{service.url}/v1/openapi.json", "-H", f"Authorization: Bearer {token}"),
            *("--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", "1"),
            *("--exclude-operation-id", "logout", "--exclude-operation-id", "end_device"),
            *("--seed", "1", "--no-color", "--generation-database", "none"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        said = (await process.stdout.read()).decode()
        assert await process.wait() == 0, said
        async with httpx.AsyncClient(base_url=service.url) as http:
            assert (await http.get("/readyz")).text == "ready\n"
