"""The OpenAPI document as a page: one file, no scripts, nothing from elsewhere. Pure.

section for each tag ─▶ operation: who may, what it takes, what it answers ─▶ examples
schemas ─▶ a table of members each: type, limits, default, meaning
"""

import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import Any

from mediaserver.http.problems import Kind

Json = dict[str, Any]

METHODS = ("get", "put", "post", "patch", "delete")
STYLE = Path(__file__).with_name("reference.css").read_text(encoding="utf-8")
WIDTH = 72  # of an example's lines, in characters


def page(document: Json) -> str:
    """HTML. The document is that of openapi.py, whose parts this relies on."""
    return _Page(document).text()


def problems(kinds: Iterable[Kind]) -> str:
    """HTML of all kinds of refusals, each at its name."""
    rows = "".join(
        f'<tr id="{kind.name}"><td><span class="status s{kind.status // 100}">{kind.status}</span><td>'
        f"<code>{kind.name}</code><td>{escape(kind.title)}<td>{inline(kind.meaning)}"
        for kind in kinds
    )
    head = "".join(f"<th scope=col>{title}" for title in ("Status", "Kind", "Title", "Meaning"))
    return (
        f"{_head('Problems')}<main class=alone><h1>Problems</h1><div class=lead><p>Every refusal is a problem document "
        "(RFC 9457) whose <code>type</code> is one of these, relative to this server. "
        '<a href="/docs">The API</a>.</div><section class=schema><div class=scroll>'
        f"<table><thead><tr>{head}</thead><tbody>{rows}</tbody></table></div></section></main></html>"
    )


def _head(title: str) -> str:
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )


class _Page:
    def __init__(self, document: Json) -> None:
        self._document = document
        self._schemas: Json = document["components"]["schemas"]

    def text(self) -> str:
        info, tags = self._document["info"], self._document["tags"]
        sections = "".join(self._section(tag) for tag in tags)
        schemas = "".join(self._schema_section(name, schema) for name, schema in sorted(self._schemas.items()))
        short = "".join(f'<li><a href="#tag-{tag["name"]}">{tag["name"]}</a>' for tag in tags)
        return (
            f"{_head(info['title'] + ': API')}<div class=page>"
            f'<nav aria-label="Operations">{"".join(map(self._menu, tags))}'
            '<b><a href="#schemas">Schemas</a></b></nav><main>'
            f"<h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>"
            f"<div class=lead>{markdown(info['description'])}"
            '<p>For tools: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1). '
            f'Every refusal: <a href="/problems">problems</a>. Licence: {escape(info["license"]["name"])}.</div>'
            f"<details class=top><summary>Contents</summary><ul>{short}"
            '<li><a href="#schemas">schemas</a></ul></details>'
            f"<h2>Credentials</h2>{self._credentials()}{sections}"
            "<h2 id=schemas>Schemas</h2><p class=about>Of JSON bodies. What is not marked may be left out, and an "
            f"answer leaves out what has no value.</p>{schemas}"
            "</main></div></html>"
        )

    def _operations(self, tag: str) -> Iterator[tuple[str, str, Json]]:
        """Those of a tag; webhooks too, whose path is the receiver's."""
        for path, item in [*self._document["paths"].items(), *self._document["webhooks"].items()]:
            for method in METHODS:
                if method in item and tag in item[method]["tags"]:
                    yield path, method, item[method]

    def _menu(self, tag: Json) -> str:
        entries = "".join(
            f'<li><a href="#{operation["operationId"]}">{escape(operation["operationId"].replace("_", " "))}</a>'
            for _, _, operation in self._operations(tag["name"])
        )
        return f'<b><a href="#tag-{tag["name"]}">{tag["name"]}</a></b><ul>{entries}</ul>'

    def _credentials(self) -> str:
        schemes = self._document["components"]["securitySchemes"]
        return _table(
            ("Name", "Authorization", "What it is"),
            (
                (
                    f"<b>{name}</b>",
                    f"<code>{scheme['scheme'].title()}</code>",
                    inline(scheme["description"]),
                )
                for name, scheme in schemes.items()
            ),
        )

    def _section(self, tag: Json) -> str:
        operations = "".join(self._operation(*found) for found in self._operations(tag["name"]))
        return (
            f'<h2 id="tag-{tag["name"]}">{tag["name"]}</h2><p class=about>{inline(tag["description"])}</p>{operations}'
        )

    def _operation(self, path: str, method: str, operation: Json) -> str:
        where = "the address of the webhook" if path in self._document["webhooks"] else path
        summary = (
            f'<summary><span class="method {method}">{method.upper()}</span><span class=path>{escape(where)}</span>'
            f"<span class=said>{inline(operation['summary'])}</span></summary>"
        )
        # The address is of something inside, so that a browser opens what it leads to.
        parts = [f'<div class=body id="{operation["operationId"]}">', markdown(operation.get("description", ""))]
        parts.append(f"<h3>Credentials</h3>{_who(operation)}")
        if operation.get("parameters"):
            parts.append(f"<h3>Parameters</h3>{self._parameters(operation['parameters'])}")
        if "requestBody" in operation:
            parts.append(f"<h3>Body</h3>{self._request(operation['requestBody'])}")
        parts.append(f"<h3>Answers</h3>{self._answers(operation['responses'])}</div>")
        return f"<details class=op>{summary}{''.join(parts)}</details>"

    def _parameters(self, parameters: list[Json]) -> str:
        def row(parameter: Json) -> tuple[str, ...]:
            need = " <span class=need>required</span>" if parameter.get("required") else ""
            example = f" For instance {_code(parameter['example'])}." if "example" in parameter else ""
            return (
                f"<code>{escape(parameter['name'])}</code>{need}<div class=type>{parameter['in']}</div>",
                f"<span class=type>{self._type(parameter['schema'])}</span>",
                inline(parameter["description"]) + "." * (not parameter["description"].endswith(".")) + example,
            )

        return _table(("Name", "Type", "Meaning"), map(row, parameters))

    def _request(self, request: Json) -> str:
        contents = request["content"]
        types = " or ".join(f"<code>{escape(media_type)}</code>" for media_type in contents)
        content = next(iter(contents.values()))
        need = "" if request.get("required") else ", or no body"
        kind = self._type(content["schema"]).removesuffix(" | null")
        return f"<p>{types}: {kind}{need}</p>{_example(content)}"

    def _answers(self, responses: Json) -> str:
        def row(status: str, response: Json) -> tuple[str, ...]:
            phrase = HTTPStatus(int(status)).phrase if status.isdigit() else ""
            meaning = [f"<p>{inline(response['description'])}</p>"]
            if headers := ", ".join(f"<code>{escape(name)}</code>" for name in response.get("headers", ())):
                meaning.append(f"<p class=type>Headers: {headers}</p>")
            for media_type, content in response.get("content", {}).items():
                if status < "4":
                    meaning.append(
                        f"<p class=type><code>{escape(media_type)}</code>: {self._type(content['schema'])}</p>"
                    )
                    if content["example"] not in shown:
                        meaning.append(_example(content))
                        shown.append(content["example"])
            label = f'<span class="status s{status[0]}" title="{phrase}">{escape(status)}</span>'
            return label, "".join(meaning)

        shown: list[Any] = []
        return _table(("Status", "Meaning"), (row(*item) for item in responses.items()))

    def _schema_section(self, name: str, schema: Json) -> str:
        required = schema.get("required", ())
        head = f'<section class=schema id="schema-{name}"><h3>{name}</h3>{markdown(schema.get("description", ""))}'
        if "properties" not in schema:
            return f"{head}<p>{self._type(schema)}</p></section>"

        def row(member: str, found: Json) -> tuple[str, ...]:
            need = " <span class=need>always</span>" if member in required else ""
            default = f" Default: {_code(found['default'])}." if found.get("default") is not None else ""
            meaning = inline(found.get("description", ""))
            return (
                f"<code>{escape(member)}</code>{need}",
                f"<span class=type>{self._type(found)}</span>",
                meaning + "." * bool(default and not meaning.endswith(".")) + default,
            )

        rows = (row(*item) for item in schema["properties"].items())
        table = _table(("Member", "Type", "Meaning"), rows)
        return f"{head}{table}</section>"

    def _type(self, schema: Json) -> str:
        """A schema in a few words, with its limits."""
        match schema:
            case {"$ref": reference}:
                name = reference.rpartition("/")[2]
                said = f'<a href="#schema-{name}">{name}</a>'
            case {"enum": values}:
                said = " | ".join(map(_code, values))
            case {"const": value}:
                said = _code(value)
            case {"anyOf": choices}:
                said = " | ".join(self._type(choice) for choice in choices)
            case {"type": "array", "items": items}:
                said = f"list of {self._type(items)}{_most(schema, 'maxItems')}"
            case {"type": "object", "additionalProperties": dict(values)}:
                said = f"object: {_keys(schema)} → {self._type(values)}{_most(schema, 'maxProperties')}"
            case _:
                said = f"{schema.get('format', schema.get('type', 'any JSON'))}{_bounds(schema)}"
        return said


def markdown(text: str) -> str:
    """Paragraphs and lists of what inline() knows."""
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip()):
        if block.startswith("- "):
            items = re.split(r"\n(?=- )", block)
            blocks.append("<ul>" + "".join(f"<li>{inline(item[2:])}" for item in items) + "</ul>")
        elif block:
            blocks.append(f"<p>{inline(block)}</p>")
    return "".join(blocks)


def inline(text: str) -> str:
    """`code`, **strong** and [links](/to)."""
    html = escape(" ".join(text.split()), quote=False)
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", html)
    html = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", html)
    html = re.sub(r"\[([^]]+)\]\(#/components/schemas/(\w+)\)", r'<a href="#schema-\2">\1</a>', html)
    return re.sub(r"\[([^]]+)\]\(([/#][^)\"]*)\)", r'<a href="\2">\1</a>', html)


def pretty(value: Any, indent: str = "", room: int = WIDTH) -> str:
    """JSON on as few lines as are not long."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) <= room or not isinstance(value, dict | list):
        return flat
    deeper = indent + "  "
    if isinstance(value, list):
        members = [pretty(member, deeper, room - 2) for member in value]
    else:
        named = [(f"{json.dumps(name, ensure_ascii=False)}: ", member) for name, member in value.items()]
        members = [name + pretty(member, deeper, room - 2 - len(name)) for name, member in named]
    begin, end = "[]" if isinstance(value, list) else "{}"
    return begin + "\n" + ",\n".join(deeper + member for member in members) + f"\n{indent}{end}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    titles = "".join(f"<th scope=col>{title}" for title in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}" for cell in row) for row in rows)
    return f"<div class=scroll><table><thead><tr>{titles}</thead><tbody>{body}</tbody></table></div>"


def _who(operation: Json) -> str:
    names = [name for choice in operation.get("security", ()) for name in choice]
    if not names:
        return "<p>None.</p>"
    return f"<p>{' or '.join(f'<b>{name}</b>' for name in names)}</p>"


def _example(content: Json) -> str:
    example = content["example"]
    text = example if isinstance(example, str) else pretty(example)
    return f"<pre tabindex=0><code>{escape(text.strip(), quote=False)}</code></pre>"


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"<code>{escape(text, quote=False)}</code>"


def _keys(schema: Json) -> str:
    names = schema.get("propertyNames", {})
    return " | ".join(map(_code, names["enum"])) if "enum" in names else str(names.get("format", "string"))


def _most(schema: Json, limit: str) -> str:
    return f", at most {schema[limit]:,}" if limit in schema else ""


def _bounds(schema: Json) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - 1
    if low is not None and high is not None:
        return f", {low:g} to {high:,.10g}"
    if schema.get("format") == "name":
        return ""
    return f", at most {schema['maxLength']} characters" if "maxLength" in schema else ""
