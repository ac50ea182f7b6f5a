"""A handler for function services such as AWS Lambda: a picture in, people out; networks are loaded once.

The body is the picture's bytes, as a function URL or an API Gateway (version 2) hands them on in base64; the query has
`output`, as of `POST /v1/pose`.
"""

from __future__ import annotations

import base64
import binascii
import json
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from tracker.errors import InputError
from tracker.job.job import Engine, Settings
from tracker.job.run import load_pipeline
from tracker.pipeline import Pipeline
from tracker.serve.limits import Limits, kind_of
from tracker.serve.work import OUTPUTS, Answer, PictureTask, Refusal, do

# What a Lambda may answer with is 6 MB, in base64.
_MOST_BYTES = 4_400_000


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """The answer to an event, in the form that API Gateway expects; refusals are JSON with `error`."""
    answer = _answer(event)
    if isinstance(answer, Answer) and len(answer.content) > _MOST_BYTES:
        answer = Refusal("the answer is larger than functions may send; send a smaller picture", 413)
    status = 200
    if isinstance(answer, Refusal):
        status, answer = answer.status, Answer(json.dumps({"error": answer.reason}).encode())
    is_binary = answer.media_type.startswith("image/")
    return {
        "statusCode": status,
        "headers": {"content-type": answer.media_type},
        "isBase64Encoded": is_binary,
        "body": base64.b64encode(answer.content).decode() if is_binary else answer.content.decode(),
    }


def _answer(event: dict[str, Any]) -> Answer | Refusal:
    output = (event.get("queryStringParameters") or {}).get("output", "json")
    if output not in OUTPUTS:
        return Refusal(f"output must be one of {', '.join(OUTPUTS)}", 400)
    try:
        body = event.get("body") or ""
        content = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
        suffix, kind = kind_of(content)
    except (binascii.Error, InputError) as error:
        return Refusal(str(error), 415)
    if kind != "picture":
        return Refusal("this is a clip; functions take pictures", 415)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"upload{suffix}")
        path.write_bytes(content)
        return do(PictureTask(path, output, limits=Limits()), _load_once(), lambda _: None)


@lru_cache(maxsize=1)
def _load_once() -> Pipeline:
    """The pipeline, which the next event finds loaded."""
    return load_pipeline(Settings(), Engine(device="cpu"))
