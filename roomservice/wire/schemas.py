"""JSON Schemas of the table's parameters and results, for both documents."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from roomservice.operations.table import Operation

REF = "#/components/schemas/{model}"


def schemas_of(operations: Iterable[Operation[Any, Any, Any]]) -> tuple[dict[Any, str], dict[str, Any]]:
    """Each model's reference, and `components.schemas`."""
    params = {operation.params for operation in operations}
    results = {operation.result for operation in operations}
    asked = sorted(params, key=lambda model: model.__qualname__)
    answered = sorted(results - params, key=lambda model: model.__qualname__)
    found, document = models_json_schema(
        [*((model, "validation") for model in asked), *((model, "serialization") for model in answered)],
        ref_template=REF,
    )
    return {model: schema["$ref"] for (model, _), schema in found.items()}, document.get("$defs", {})


def properties_of(model: type[BaseModel], schemas: dict[str, Any], reference: str) -> tuple[dict[str, Any], list[str]]:
    """Of a model's schema: its properties, and the names of those that are required."""
    schema = schemas[reference.rpartition("/")[2]]
    return schema.get("properties", {}), schema.get("required", [])
