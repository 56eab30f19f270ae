"""The dashboard's addresses. Every one answers GET and HEAD, and nothing else exists.

    /                                               the overview; ?q=PART-OF-A-NAME&status=STATUS
    /experiments/NAME                               one experiment
    /experiments/NAME/outputs/PATH                  a figure, table or report that is published
    /experiments/NAME/logs/STAGE[/errors]           the end of a log
    /api/v1/overview  /api/v1/experiments/NAME      the same as JSON: views.Overview, views.ExperimentView
    /healthz                                        200 while the drive can be read

The part of a page that changes is fetched anew every 30 s by htmx, which asks the same address and gets that
part alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeVar

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from heliograph.dashboard.experiment import build_experiment, find_experiment
from heliograph.dashboard.outputs import NoSuchFile, read_log_tail, read_output
from heliograph.dashboard.overview import Filter, build_overview
from heliograph.dashboard.pages import STATIC, Pages, TroublePage
from heliograph.dashboard.reader import Reader, Worker
from heliograph.dashboard.security import SecurityHeaders
from heliograph.drive import Drive
from heliograph.errors import DriveUnavailable, HeliographError, UnknownExperiment
from heliograph.names import utc_now

log = logging.getLogger(__name__)
T = TypeVar("T")

FILE_PATIENCE_S = 10.0
_LONGEST_SEARCH = 128
_HEADLINES = {
    404: "There is no such page",
    405: "Nothing can be changed here",
    503: "There is nothing to show",
}


class Site:
    """The pages of one drive."""

    def __init__(self, drive: Drive, clock: Callable[[], datetime]) -> None:
        self.drive = drive
        self._clock = clock
        self._pages = Pages()
        self._reader = Reader(drive, clock)
        self._files = Worker("heliograph-files")

    def close(self) -> None:
        self._reader.close()
        self._files.close()

    async def overview(self, request: Request, q: str = "", status: str = "") -> HTMLResponse:
        reading = await self._reader.latest()
        chosen = Filter(q[:_LONGEST_SEARCH], status[:_LONGEST_SEARCH])
        return self._page(request, "overview", build_overview(reading, chosen, self._clock()))

    async def experiment(self, request: Request, name: str) -> HTMLResponse:
        reading = await self._reader.latest()
        view = find_experiment(reading.overview, name)
        return self._page(request, "experiment", build_experiment(reading, view, self._clock()))

    async def output(self, name: str, path: str) -> Response:
        view = find_experiment((await self._reader.latest()).overview, name)
        file = await self._from_drive(lambda: read_output(self.drive, view, path))
        headers = {"Cache-Control": "private, max-age=3600"}
        if file.kind.policy:
            headers["Content-Security-Policy"] = file.kind.policy
        if file.kind.is_download:
            headers["Content-Disposition"] = "attachment"
        return Response(file.content, media_type=file.kind.media_type, headers=headers)

    async def log(self, name: str, stage: str) -> PlainTextResponse:
        return await self._log(name, stage, errors=False)

    async def log_errors(self, name: str, stage: str) -> PlainTextResponse:
        return await self._log(name, stage, errors=True)

    async def _log(self, name: str, stage: str, *, errors: bool) -> PlainTextResponse:
        view = find_experiment((await self._reader.latest()).overview, name)
        return PlainTextResponse(
            await self._from_drive(lambda: read_log_tail(self.drive, view, stage, errors=errors))
        )

    async def api_overview(self) -> Response:
        return _json((await self._reader.latest()).overview)

    async def api_experiment(self, name: str) -> Response:
        return _json(find_experiment((await self._reader.latest()).overview, name))

    async def healthz(self) -> JSONResponse:
        """Tell whether the drive can be read now, and nothing else: this needs no login."""
        try:
            is_well = (await self._reader.latest()).trouble is None
        except HeliographError:
            is_well = False
        return JSONResponse({"ok": is_well}, 200 if is_well else 503)

    async def _from_drive(self, work: Callable[[], T]) -> T:
        """Have a file read, one after the other, in a thread that may hang without harm to the pages."""
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self._files.submit(work)), FILE_PATIENCE_S)
        except TimeoutError:
            raise DriveUnavailable(folder=self.drive.root, reason="it is slow or hangs") from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise DriveUnavailable(folder=self.drive.root, reason=reason) from error

    def _page(self, request: Request, name: str, page: msgspec.Struct, status: int = 200) -> HTMLResponse:
        text = self._pages.write(name, page, only_live="HX-Request" in request.headers)
        return HTMLResponse(text, status, headers={"Vary": "HX-Request"})

    async def say(self, request: Request, error: Exception) -> Response:
        """Say what is wrong, as a page or as JSON."""
        status, message = _describe(error)
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": message}, status)
        headline = _HEADLINES.get(status, "That did not work")
        return self._page(request, "trouble", TroublePage(status, headline, message), status)


def _describe(error: Exception) -> tuple[int, str]:
    """Return the status and the sentence for an error that is expected."""
    if isinstance(error, HTTPException):
        return error.status_code, f"{error.detail}."
    return (404 if isinstance(error, UnknownExperiment | NoSuchFile) else 503), str(error)


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def create_app(drive: Drive, clock: Callable[[], datetime] = utc_now) -> FastAPI:
    """Make the application of one drive. Its life begins and ends with the server's."""
    site = Site(drive, clock)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        site.close()

    app = FastAPI(title="heliograph", lifespan=life, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(SecurityHeaders)
    app.add_exception_handler(HeliographError, site.say)
    app.add_exception_handler(HTTPException, site.say)
    routes: dict[str, Callable[..., object]] = {
        "/": site.overview,
        "/experiments/{name}": site.experiment,
        "/experiments/{name}/outputs/{path:path}": site.output,
        "/experiments/{name}/logs/{stage}": site.log,
        "/experiments/{name}/logs/{stage}/errors": site.log_errors,
        "/api/v1/overview": site.api_overview,
        "/api/v1/experiments/{name}": site.api_experiment,
        "/healthz": site.healthz,
    }
    for path, answer in routes.items():
        app.add_api_route(path, answer, methods=["GET", "HEAD"])
    app.mount("/static", StaticFiles(directory=STATIC))
    return app
