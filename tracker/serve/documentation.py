"""The API as a page for people, made of its OpenAPI description: no scripts, and nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any


def describe(openapi: Mapping[str, Any], url: str) -> str:
    """An HTML page on everything in an OpenAPI description. url: of the server, which its examples ask."""
    body = "\n".join(_parts(openapi, escape(url)))
    title = escape(openapi["info"]["title"])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: API</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="/page/style.css"></head><body class="text"><main>
{body}
</main></body></html>
"""


def _parts(openapi: Mapping[str, Any], url: str) -> Iterator[str]:
    info = openapi["info"]
    yield f"<h1>{escape(info['title'])} {escape(info['version'])}: API</h1><p>{escape(info['description'])}</p>"
    yield '<p><a href="/">The page</a> · <a href="/openapi.json">OpenAPI description</a></p>'
    yield f"<pre>curl -F file=@photo.jpg {url}v1/pose\ncurl -F file=@clip.mp4 {url}v1/track</pre>"
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation['summary'])}. "
            yield f"{escape(operation.get('description', ''))}</p>"
            yield from _rows("parameter", _parameters(operation))
            yield from _rows("answer", {status: _answer(one) for status, one in operation["responses"].items()})
    for name, schema in openapi.get("components", {}).get("schemas", {}).items():
        yield f'<h2 id="{escape(name)}">{escape(name)}</h2><p>{escape(schema.get("description", ""))}</p>'
        yield from _rows("field", {key: _field(value) for key, value in schema.get("properties", {}).items()})


def _parameters(operation: Mapping[str, Any]) -> dict[str, str]:
    found = {item["name"]: _field(item["schema"] | item) for item in operation.get("parameters", ())}
    forms = operation.get("requestBody", {}).get("content", {})
    return found | {
        key: f"{_field(value)} ({escape(kind)})"
        for kind, form in forms.items()
        for key, value in form["schema"]["properties"].items()
    }


def _answer(answer: Mapping[str, Any]) -> str:
    kinds = answer.get("content", {})
    names = {_reference(kind.get("schema", {})) for kind in kinds.values()} - {""}
    links = "".join(f' <a href="#{name}">{name}</a>' for name in sorted(names))
    return f"{escape(answer['description'])}{links} {escape(', '.join(kinds))}"


def _field(schema: Mapping[str, Any]) -> str:
    """Type and meaning of a value."""
    choices = schema.get("enum") or [item.get("type", _reference(item)) for item in schema.get("anyOf", ())]
    kind = " | ".join(map(str, choices)) or schema.get("type") or _reference(schema)
    return f"<code>{escape(kind)}</code> {escape(schema.get('description', ''))}"


def _reference(schema: Mapping[str, Any]) -> str:
    return escape(schema.get("$ref", "").rpartition("/")[2])


def _rows(what: str, cells: Mapping[str, str]) -> Iterator[str]:
    if cells:
        rows = "".join(f"<tr><td><code>{escape(name)}</code></td><td>{cell}</td></tr>" for name, cell in cells.items())
        yield f"<table><thead><tr><th>{what}</th><th></th></tr></thead><tbody>{rows}</tbody></table>"
