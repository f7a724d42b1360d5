"""Wiring of the HTTP server, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI
from starlette.routing import BaseRoute

from app import log, sweep, telemetry
from app.api import (
    audit,
    chat,
    dashboard,
    docs,
    events,
    files,
    finished_models,
    health,
    hub_token,
    huggingface,
    jobs,
    keys,
    metrics,
    models,
    predict,
    sweeps,
    tei,
    webhooks,
    workers,
)
from app.api.auditing import AuditMiddleware
from app.api.body_limit import BodyLimitMiddleware
from app.api.description import complete_description
from app.api.errors import install_error_handlers
from app.api.key_ring import KeyRing
from app.api.openai import chat as openai_chat
from app.api.openai import files as openai_files
from app.api.openai import fine_tuning as openai_fine_tuning
from app.api.openai import models as openai_models
from app.api.request_id import RequestIdMiddleware
from app.api.request_metrics import RequestMetricsMiddleware
from app.api.scopes import guard
from app.api.security import SecurityMiddleware
from app.api.security_headers import SecurityHeadersMiddleware
from app.api.tracing import TracingMiddleware
from app.config import Settings, get_settings
from app.metrics.requests import RequestCounts
from app.metrics.stored import StoredNumbers
from app.prediction import routing
from app.study import driver as study_driver
from app.webhook import sending

DESCRIPTION = "Fine-tune Hugging Face models on your own machines: upload labelled text, post a job, ask the model."

MODULES: Final = (
    predict,
    health,
    files,
    finished_models,
    tei,
    chat,
    huggingface,
    models,
    jobs,
    events,
    sweeps,
    keys,
    metrics,
    webhooks,
    hub_token,
    workers,
    audit,
    docs,
    dashboard,
    openai_files,
    openai_fine_tuning,
    openai_models,
    openai_chat,
)
"""Routes are tried in this order: first what is asked most. Ids of models hold slashes: what asks one comes before the route of a
model, and longer paths before shorter ones."""


def create_app() -> FastAPI:
    """The application, for uvicorn's factory mode and for tests."""
    settings = get_settings()
    app = FastAPI(
        title="Tunery",
        version=version("tunery"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.router.routes += _routes()
    install_error_handlers(app)
    guard(app.routes)
    complete_description(app)
    app.state.request_counts = RequestCounts()
    app.state.key_ring = KeyRing.of(settings)
    app.state.stored_numbers = StoredNumbers()
    _add_middleware(app, settings)
    return app


def _routes() -> list[BaseRoute]:
    """Every route of the service, in one list: of a router in a router each would be matched twice."""
    return [route for module in MODULES for route in module.router.routes]


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """The last one added is the first one a request meets."""
    app.add_middleware(BodyLimitMiddleware, max_bytes=settings.max_body_bytes)
    app.add_middleware(SecurityMiddleware, settings=settings, keys=app.state.key_ring)
    app.add_middleware(SecurityHeadersMiddleware)
    app.add_middleware(AuditMiddleware, routes=_routes())
    app.add_middleware(TracingMiddleware)
    app.add_middleware(RequestIdMiddleware)
    app.add_middleware(RequestMetricsMiddleware, counts=app.state.request_counts)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG001
    settings = get_settings()
    log.configure(settings)
    with telemetry.running("api"), sweep.running(), study_driver.running(), sending.running():
        async with events.stream_hub():
            yield
    await routing.close()
