"""The HTTP API and the page; `serve` runs both until it is interrupted."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, JSONResponse, Response

from tracker import __version__
from tracker.errors import InputError
from tracker.job.job import Engine, Settings
from tracker.job.web import Address, read_page
from tracker.serve.connections import Connection
from tracker.serve.documentation import describe
from tracker.serve.guard import Guard, RefusedError
from tracker.serve.lanes import BusyError, Clips, Lane, State, Ticket
from tracker.serve.limits import BEGINNING_BYTES, Kind, Limits, kind_of, safe_name
from tracker.serve.work import RESULTS, Answer, ClipTask, Output, PictureTask, Refusal

_PREFIX = "pose-tracker-"
_PAGE = Path(__file__).with_name("page")
_KEEP_ALIVE_S, _SHUTDOWN_S, _TIDY_S = 10, 3, 30.0
_FILE_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary", "description": "the picture or clip"}},
}
_BODY = {"required": True, "content": {"multipart/form-data": {"schema": _FILE_FORM}}}
_UPLOAD: dict[str, Any] = {"requestBody": _BODY}
_ENDINGS = {"json": "poses.json", "csv": "poses.csv", "overlay": "overlay.png", "heatmaps": "heatmaps.json"}


class Fault(BaseModel):
    """Why a request was not done."""

    error: str = Field(description="one line for people: what, why, and the remedy")


class ClipResult(BaseModel):
    """What came of a clip."""

    frames: int
    people: int = Field(description="how many were confirmed, each with an id of its own")
    note: str | None = Field(description="what else there is to say, such as of damage")
    files: list[str] = Field(description="what can be fetched at /v1/jobs/{id}/{file}")


class ClipState(BaseModel):
    """How far a clip is."""

    id: str
    state: State
    waiting_before: int = Field(description="clips that are done before it")
    frames: int = Field(description="done so far")
    num_frames: int | None = Field(description="about how many there are, null where that is unknown")
    error: str | None = None
    result: ClipResult | None = None


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    meanings = {
        400: "wrong request",
        404: "not there, or not any more",
        408: "the file came too slowly",
        413: "the file is too large",
        415: "the file is of another kind",
        422: "the file is damaged or beyond a limit",
        503: "as many wait as may; Retry-After says when to try again",
    }
    return {status: {"model": Fault, "description": meanings[status]} for status in statuses}


@dataclass(frozen=True)
class Service:
    """What the server works with."""

    settings: Settings
    limits: Limits
    pictures: Lane
    clips: Lane
    kept: Clips


@contextmanager
def open_service(settings: Settings, engine: Engine, limits: Limits) -> Iterator[Service]:
    """The worker processes, with networks loaded, and a temporary folder that everything is in."""
    _sweep()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-")))

        def open_lane(num_waiting: int, work_s: float) -> Lane:
            return stack.enter_context(Lane(settings, engine, num_waiting + 1, work_s, folder))

        pictures = open_lane(limits.waiting_pictures, limits.picture_work_s)
        clips = open_lane(limits.waiting_clips, limits.clip_work_s)
        for lane in (pictures, clips):  # both load at once
            lane.load()
        yield Service(settings, limits, pictures, clips, Clips(limits))


def _sweep() -> None:
    """Remove what servers of this user left that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        with suppress(OSError):
            number = folder.name.removeprefix(_PREFIX).partition("-")[0]
            is_folder = folder.is_dir() and not folder.is_symlink()
            # On Windows each user has a temporary folder.
            is_mine = sys.platform == "win32" or folder.lstat().st_uid == os.getuid()
            if is_folder and is_mine and number.isdecimal() and not _runs(int(number)):
                shutil.rmtree(folder, ignore_errors=True)


def _runs(process: int) -> bool:
    if sys.platform == "win32":  # whose os.kill would end it
        listed = ["tasklist", "/nh", "/fo", "csv", "/fi", f"PID eq {process}"]
        said = subprocess.run(listed, capture_output=True, text=True, errors="replace", check=False).stdout
        return f'"{process}"' in said
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def serve(settings: Settings, engine: Engine, limits: Limits, address: Address) -> None:
    """Serve until Ctrl-C or SIGTERM; raises OutputError for a port that is taken, and what loading networks raises."""
    with address.bind() as listening, open_service(settings, engine, limits) as service:
        address = replace(address, port=listening.getsockname()[1])
        if address.is_open:
            print(
                "note: whoever reaches this machine may use it, without a password",
                file=sys.stderr,
            )
        server = make_server(service, address)
        print(f"open {address.url} (its API: {address.url}docs); Ctrl-C ends it", file=sys.stderr)
        server.run(sockets=[listening])


def make_server(service: Service, address: Address) -> uvicorn.Server:
    """Uvicorn's server of the application, which tells of faults of ours alone."""
    config = uvicorn.Config(
        create_app(service, address),
        log_level="error",  # what is no HTTP is not told
        access_log=False,
        server_header=False,
        http=Connection,
        ws="none",
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    told = logging.getLogger("uvicorn.error")
    told.addFilter(lambda record: "graceful shutdown" not in str(record.msg))  # senders are told that it ends
    return uvicorn.Server(config)


def create_app(service: Service, address: Address) -> Any:
    """The application, behind its guard."""
    app = FastAPI(
        title="pose-tracker",
        version=__version__,
        description="People, their keypoints and ids in pictures and clips.",
        docs_url=None,
        redoc_url=None,
        lifespan=_tidying,
    )
    logging.getLogger("python_multipart.multipart").disabled = True  # what is no form is answered
    app.state.service = service
    app.state.page = read_page(_PAGE)
    app.include_router(_router)
    for kind in (RefusedError, HTTPException, RequestValidationError, OSError):
        app.add_exception_handler(kind, _explain)
    return Guard(app, service.limits, address)


@asynccontextmanager
async def _tidying(app: FastAPI) -> AsyncIterator[None]:
    """Old results are removed also while nobody asks for anything."""

    async def tidy() -> None:
        while True:
            await asyncio.sleep(_TIDY_S)
            await run_in_threadpool(app.state.service.kept.remove_old)

    task = asyncio.create_task(tidy())
    yield
    task.cancel()


def _no_form() -> RefusedError:
    what = "send the picture or clip as the field `file` of a form (multipart/form-data)"
    return RefusedError(400, f"{what}, as curl -F file=@photo.jpg does")


def _where(error: HTTPException) -> str:
    return {
        404: "there is nothing here; the page is at /, and /docs describes the API",
        405: f"this address takes {(error.headers or {}).get('Allow')} alone; /docs describes the API",
    }.get(error.status_code, str(error.detail))


async def _explain(_: Request, error: Exception) -> Response:
    headers: Mapping[str, str] | None = None
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        error = RefusedError(400, f"{first['loc'][-1]}: {first['msg']}; /docs lists what may be asked for")
    elif isinstance(error, HTTPException):
        headers = error.headers
        error = _no_form() if error.status_code == 400 else RefusedError(error.status_code, _where(error))
    elif isinstance(error, OSError):  # a full disk
        error = RefusedError(507, f"the server cannot keep the file ({error.strerror}); try again later")
    assert isinstance(error, RefusedError)
    if error.status == 503:
        headers = {"Retry-After": "5"}
    return JSONResponse({"error": error.reason}, error.status, headers)


_router = APIRouter()


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


@_router.post(
    "/v1/pose",
    summary="People in a picture",
    openapi_extra=_UPLOAD,
    responses={
        200: {
            "content": {"application/json": {}, "text/csv": {}, "image/png": {}},
            "description": "in the form of output",
        },
        **_refusals(400, 408, 413, 415, 422, 503),
    },
)
async def find_poses(
    request: Request,
    output: Annotated[
        Output, Query(description="people as JSON or CSV, the picture with its overlay (PNG), or heatmaps (JSON)")
    ] = "json",
    session: Annotated[
        str | None,
        Query(pattern=r"^[A-Za-z0-9_-]{8,64}$", description="the same for all pictures of a camera: people keep ids"),
    ] = None,
) -> Response:
    """JPEG, PNG, WebP or BMP. The JSON has the fields of a header and of a frame of JSON lines."""
    service = _service(request)
    ticket = await _take(service.pictures)
    try:
        path = await _receive(request, ticket, "picture")
        ticket.begin(PictureTask(path, output, session, service.limits))
        answer = await asyncio.shield(asyncio.wrap_future(ticket.answer))
    finally:
        ticket.close()
    if isinstance(answer, Refusal):
        raise RefusedError(answer.status, answer.reason)
    return Response(answer.content, media_type=answer.media_type, headers=_named(f"{path.stem}_{_ENDINGS[output]}"))


@_router.post(
    "/v1/track",
    summary="People with ids in a clip",
    status_code=202,
    response_model=ClipState,
    openapi_extra=_UPLOAD,
    responses=_refusals(400, 408, 413, 415, 503),
)
async def track_clip(request: Request, response: Response) -> ClipState:
    """MP4, MOV, WebM, MKV, AVI, GIF or TS. The answer comes at once: ask for the job until it is done."""
    service = _service(request)
    await run_in_threadpool(service.kept.remove_old)
    ticket = await _take(service.clips)
    try:
        path = await _receive(request, ticket, "clip")
    except BaseException:
        ticket.close()
        raise
    name = service.kept.add(ticket)
    ticket.begin(ClipTask(path, service.settings, service.limits))
    response.headers["Location"] = f"/v1/jobs/{name}"
    return _state(service, name)


@_router.get("/v1/jobs/{name}", summary="How far a clip is", response_model=ClipState, responses=_refusals(404))
async def show_job(request: Request, name: str) -> ClipState:
    """Waiting, running, done, failed or cancelled."""
    return _state(_service(request), name)


@_router.delete("/v1/jobs/{name}", summary="Cancel a clip, or remove it", status_code=204, responses=_refusals(404))
async def remove_job(request: Request, name: str) -> None:
    """Whatever it is at."""
    if not await run_in_threadpool(_service(request).kept.remove, name):
        raise _no_job()


@_router.get("/v1/jobs/{name}/{file}", summary="A result of a clip", responses=_refusals(404))
async def send_result(request: Request, name: str, file: str) -> Response:
    """overlay.mp4, poses.jsonl or poses.csv."""
    ticket = _service(request).kept.get(name)
    path = ticket.folder / file if ticket and ticket.state == "done" and file in RESULTS else None
    if ticket is None or ticket.task is None or path is None or not path.is_file():
        raise _no_job()
    return FileResponse(path, media_type=RESULTS[file], filename=f"{ticket.task.path.stem}_{file}")


@_router.get("/v1/limits", summary="What the server takes on")
async def show_limits(request: Request) -> dict[str, float]:
    """Sizes and lengths, and how much may wait."""
    return asdict(_service(request).limits)


@_router.get("/healthz", summary="Whether the server works", responses=_refusals(503))
async def check_health(request: Request) -> dict[str, str]:
    """For those who watch over it."""
    service = _service(request)
    if not (service.pictures.is_well and service.clips.is_well):
        raise RefusedError(503, "a worker has ended; start the server anew")
    return {"status": "ok", "version": __version__}


@_router.get("/docs", include_in_schema=False)
async def show_documentation(request: Request) -> Response:
    """The API for people."""
    return Response(describe(request.app.openapi(), str(request.base_url)), media_type="text/html")


@_router.get("/", include_in_schema=False)
@_router.get("/page/{name}", include_in_schema=False)
async def show_page(request: Request, name: str = "index.html") -> Response:
    """The page and its parts."""
    media_type, content = request.app.state.page.get(name, (None, b""))
    if media_type is None:
        raise RefusedError(404, "there is nothing here; the page is at /")
    return Response(content, media_type=media_type)


async def _take(lane: Lane) -> Ticket:
    try:
        return await run_in_threadpool(lane.take)
    except BusyError:
        raise RefusedError(503, "as many wait as may; try again in a few seconds") from None


async def _receive(request: Request, ticket: Ticket, kind: Kind) -> Path:
    """The file of a request, once it is here and of that kind; closed with the request, what came of it stays."""
    async with _form_of(request) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise _no_form()
        beginning = await file.read(BEGINNING_BYTES)
        await file.seek(0)
        try:
            suffix, found = kind_of(beginning)
        except InputError as error:
            raise RefusedError(415, str(error)) from error
        if found != kind:
            raise RefusedError(
                415, f"this is a {found}; send it to {'/v1/pose' if found == 'picture' else '/v1/track'}"
            )
        path = ticket.folder / "input" / safe_name(file.filename or "", suffix)
        await run_in_threadpool(_copy, file.file, path)
    return path


@asynccontextmanager
async def _form_of(request: Request) -> AsyncIterator[FormData]:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise _no_form()  # before all of it is read
    try:
        form = await request.form(max_files=1, max_fields=4)
    except ClientDisconnect:
        raise RefusedError(400, "the file broke off; send it again") from None
    try:
        yield form
    finally:
        await form.close()


def _copy(file: Any, path: Path) -> None:
    path.parent.mkdir()
    with path.open("wb") as copy:
        shutil.copyfileobj(file, copy)


def _state(service: Service, name: str) -> ClipState:
    ticket = service.kept.get(name)
    if ticket is None:
        raise _no_job()
    answer = ticket.answer.result() if ticket.answer.done() else None
    result = ClipResult(**json.loads(answer.content), files=list(RESULTS)) if isinstance(answer, Answer) else None
    return ClipState(
        id=name,
        state=ticket.state,
        waiting_before=service.kept.place(ticket),
        frames=ticket.frames,
        num_frames=ticket.num_frames or None,
        error=answer.reason if isinstance(answer, Refusal) else None,
        result=result,
    )


def _no_job() -> RefusedError:
    return RefusedError(404, "there is no such job or result; it may have been removed, so send the clip again")


def _named(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'inline; filename="{name}"'}
