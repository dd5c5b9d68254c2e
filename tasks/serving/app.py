"""The HTTP door: addresses, and what stands behind each. It reads no picture; the models' processes do."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tasks.serving.batches import Batch, Batches
from tasks.serving.following import Follower
from tasks.serving.forms import UnknownType, refusal
from tasks.serving.house import MB, Full, House
from tasks.serving.http import Gone, Receive, Refused, Request, Scope, Send
from tasks.serving.intake import Limits
from tasks.serving.openapi import document
from tasks.serving.pool import Unavailable
from tasks.serving.running import RESULTS_CHUNK, Runner
from tasks.serving.settings import BadRequest
from tasks.serving.target import Target

SPARE_DISK = 200 * MB
Handler = Callable[..., Awaitable[None]]


class App:
    """An ASGI application.

    Args:
        house: the models.
        batches: those on disk.
        workspace: whose store is followed.
    """

    def __init__(self, house: House, batches: Batches, workspace: Path) -> None:
        self.house, self.options = house, house.options
        self.runner, self.follower = Runner(house, batches), Follower(house, workspace)
        self.began = time.time()
        self.routes: list[tuple[str, re.Pattern[str], Handler]] = [
            (method, re.compile(path), handler) for method, path, handler in (
                ("POST", r"/v1/models/([^/]+)/predict", self.predict),
                ("POST", r"/v1/models/([^/]+)/invocations", self.invoke),
                ("POST", r"/invocations", self.invoke),
                ("POST", r"/v1/models/([^/]+)/batches", self.begin_batch),
                ("GET", r"/v1/models", self.models),
                ("GET", r"/v1/models/([^/]+)", self.model),
                ("GET", r"/v1/batches", self.list_batches),
                ("GET", r"/v1/batches/([^/]+)", self.batch),
                ("GET", r"/v1/batches/([^/]+)/results", self.results),
                ("DELETE", r"/v1/batches/([^/]+)", self.end_batch),
                ("GET", r"/health|/ping", self.health),
                ("GET", r"/version", self.version),
                ("GET", r"/metrics", self.metrics),
                ("GET", r"/(?:v1/)?openapi\.json", self.openapi))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection's request, or the server's beginning and end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(Request(scope, receive, send, self.options.stall_s, self.options.upload_s))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        follow = asyncio.create_task(self.follower())
        self.runner.begin()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        follow.cancel()
        await self.runner.close()
        await self.house.close()
        with contextlib.suppress(asyncio.CancelledError):
            await follow
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, request: Request) -> None:
        invoked = request.path.endswith("/invocations")
        try:
            await self._route(request)
        except Refused as error:
            await request.answer(error.status, refusal(str(error), invoked), **error.headers)
        except Gone:
            return
        except UnknownType as error:
            await request.answer(415, refusal(str(error), invoked))
        except BadRequest as error:
            await request.answer(400, refusal(str(error), invoked))

    async def _route(self, request: Request) -> None:
        allowed = []
        for method, path, handler in self.routes:
            if match := path.fullmatch(request.path):
                if request.method == method:
                    await handler(request, *match.groups())
                    return
                allowed.append(method)
        if allowed:
            raise Refused(405, f"{request.path} is for {', '.join(allowed)}", allow=", ".join(allowed))
        raise Refused(404, f"there is nothing at {request.path[:200]}: /openapi.json says what there is")

    def _target(self, name: str | None) -> Target:
        """What a name stands for; the first model where none is named."""
        known = self.house.targets
        if name is None:
            return next(iter(known.values()))
        if name not in known:
            raise Refused(404, f"no model is called {name[:200]!r} here; there are: {', '.join(known)}")
        return known[name]

    async def predict(self, request: Request, name: str) -> None:
        """POST /v1/models/NAME/predict"""
        await self._ask(request, name, "predict")

    async def invoke(self, request: Request, name: str | None = None) -> None:
        """POST /invocations, as `mlflow models serve` has it"""
        await self._ask(request, name, "invocations")

    async def _ask(self, request: Request, name: str | None, form: str) -> None:
        began, model, status, held = time.perf_counter(), self._target(name).name, 500, 0
        try:
            with self.house.admitted(model):
                body = bytearray()
                most = int(self.options.request_mb * MB)
                expected = request.length(most) or 0
                self.house.hold(expected)
                held = expected
                async for chunk in request.chunks(most):
                    body += chunk
                    if len(body) > held:
                        self.house.hold(len(body) - held)
                        held = len(body)
                head = {"form": form, "type": request.type, "query": request.query}
                # the name is looked up again: it may have moved while the body came
                told, text = await self._while_there(request, self.house.ask(self.house.targets[model], head, body))
                status = told["status"]
                await request.answer(status, text)
        except Refused as error:
            status = error.status
            raise
        except (Full, Unavailable) as error:
            status = error.status
            after = {"retry_after": str(error.after_s)} if isinstance(error, Full) else {"retry_after": "1"}
            raise Refused(status, str(error), **after) from None
        except Gone:
            status = 499
            raise
        finally:
            self.house.release(held)
            self.house.counts.answered(model, status, time.perf_counter() - began)

    async def _while_there(self, request: Request, asking: Awaitable[Any]) -> Any:
        """An answer for a client that stays; one that leaves loses its place in the line."""
        job, leaving = asyncio.ensure_future(asking), asyncio.ensure_future(request.receive())
        try:
            await asyncio.wait((job, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not job.done() and leaving.result()["type"] == "http.disconnect":
                raise Gone
            return await job
        finally:
            job.cancel()
            leaving.cancel()

    async def begin_batch(self, request: Request, name: str) -> None:
        """POST /v1/models/NAME/batches"""
        target, batches = self._target(name), self.runner.batches
        if len(batches.open()) >= self.options.batches:
            raise Refused(429, f"{self.options.batches} batches are waiting", retry_after="10")
        most, upload = int(self.options.batch_mb * MB), batches.upload()
        free = shutil.disk_usage(upload).free - SPARE_DISK
        try:
            if 2 * (request.length(most) or 0) > free:
                raise Refused(507, f"the disk has room for {max(free, 0) / MB:.0f} MB, the batch needs twice its size")
            with (upload / "request").open("wb") as file:
                async for chunk in request.chunks(most):
                    file.write(chunk)
            limits = Limits(self.options.batch_pictures, int(self.options.request_mb * MB), 4 * most)
            batch = await asyncio.to_thread(batches.accept, upload, request.type, request.query, target, limits)
        except OSError as error:
            raise Refused(507, f"the batch cannot be kept: {error.strerror or error}") from None
        finally:
            shutil.rmtree(upload, ignore_errors=True)
        self.runner.put(batch)
        await request.tell(202, batch.told(), location=batch.told()["url"])

    def _batch(self, name: str) -> Batch:
        found = self.runner.batches.find(name)
        if found is None:
            raise Refused(404, f"there is no batch {name[:100]!r}")
        return found

    async def list_batches(self, request: Request) -> None:
        """GET /v1/batches"""
        known = self.runner.batches.known.values()
        await request.tell(200, {"batches": [batch.told() for batch in known]})

    async def batch(self, request: Request, name: str) -> None:
        """GET /v1/batches/ID"""
        await request.tell(200, self._batch(name).told())

    async def end_batch(self, request: Request, name: str) -> None:
        """DELETE /v1/batches/ID: one that is open ends, one that is ended goes."""
        batch = self._batch(name)
        if batch.state in ("waiting", "running"):
            await self.runner.cancel(batch)
            await request.tell(200, batch.told())
        else:
            self.runner.batches.drop(batch)
            await request.tell(200, {**batch.told(), "state": "removed"})

    async def results(self, request: Request, name: str) -> None:
        """GET /v1/batches/ID/results: whole lines, as many as there are."""
        batch = self._batch(name)

        async def lines() -> AsyncIterator[bytes]:
            file = batch.folder / "results.jsonl"
            left = file.stat().st_size if file.is_file() else 0
            if left:
                with file.open("rb") as opened:
                    while left and (chunk := opened.read(min(RESULTS_CHUNK, left))):
                        left -= len(chunk)
                        yield chunk

        await request.stream(200, "application/x-ndjson", lines())

    async def models(self, request: Request) -> None:
        """GET /v1/models"""
        await request.tell(200, {"models": [self._told(target) for target in self.house.targets.values()]})

    async def model(self, request: Request, name: str) -> None:
        """GET /v1/models/NAME"""
        await request.tell(200, self._told(self._target(name)))

    def _told(self, target: Target) -> dict[str, Any]:
        pool = self.house.pools.get(target.key)
        ready = pool.ready if pool else []
        warning = self.house.warnings.get(target.name) or (pool.reason if pool else None)
        return {"name": target.name, "address": target.address, "version": target.version, "sha256": target.sha256,
                "artefact": target.artefact, "classes": list(target.classes), "runtime": target.runtime,
                "provider": ready[0].process.provider if ready else None,
                "processes": [member.process.pid for member in ready],
                "waiting": pool.waiting if pool else 0, "warning": warning}

    async def health(self, request: Request) -> None:
        """GET /health, and /ping as MLflow has it"""
        told = {name: {"version": target.version, "warning": self._told(target)["warning"]}
                for name, target in self.house.targets.items()}
        await request.tell(200, {"status": "ok", "up_s": round(time.time() - self.began, 1), "models": told,
                                 "processes": self.house.processes, "batches": len(self.runner.batches.open())})

    async def version(self, request: Request) -> None:
        """GET /version, of MLflow, as `mlflow models serve` has it"""
        try:
            await request.answer(200, version("mlflow").encode(), "text/plain")
        except PackageNotFoundError:
            raise Refused(404, "MLflow is not installed") from None

    async def metrics(self, request: Request) -> None:
        """GET /metrics"""
        states = [batch.state for batch in self.runner.batches.known.values()]
        gauges = [*self.house.gauges(),
                  ("batches", "batches by state", [({"state": state}, float(states.count(state)))
                                                   for state in sorted(set(states))])]
        await request.answer(200, self.house.counts.text(gauges).encode(), "text/plain; version=0.0.4; charset=utf-8")

    async def openapi(self, request: Request) -> None:
        """GET /openapi.json"""
        await request.tell(200, document(self.house.targets.values(), self.options))
