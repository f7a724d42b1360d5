"""``/docs`` from an installed package, not from a CDN: the service is often offline."""

from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

from app.api.security_headers import page_policy
from app.errors import NotFound

router = APIRouter(include_in_schema=False)

_NAMES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")


def _assets() -> Path:
    """The static files inside the package fastapi-offline; its code is not used."""
    spec = find_spec("fastapi_offline")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "static"


@router.get("/docs")
def docs() -> HTMLResponse:
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Tunery API",
        swagger_js_url="/docs/assets/swagger-ui-bundle.js",
        swagger_css_url="/docs/assets/swagger-ui.css",
        swagger_favicon_url="/docs/assets/favicon.png",
    )
    page.headers["content-security-policy"] = page_policy(bytes(page.body))
    return page


@router.get("/docs/assets/{name}")
def asset(name: str) -> FileResponse:
    if name not in _NAMES:
        raise NotFound(f"There is no asset {name!r}.")
    return FileResponse(_assets() / name, headers={"cache-control": "no-cache"})
