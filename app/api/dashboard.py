"""The dashboard's static files. They are open where a key is configured: the page asks the user for it."""

import re
from typing import Annotated, Final

from fastapi import APIRouter, Header, Response, status

from app.dashboard import service
from app.dashboard.service import Asset

router = APIRouter(include_in_schema=False)

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere, and no script or style within the page."""
_METHODS: Final = ["GET", "HEAD"]
_REFUSED: Final = re.compile(r"gzip\s*;\s*q=0(\.0*)?\s*(,|$)")

AcceptEncoding = Annotated[str, Header()]
IfNoneMatch = Annotated[str, Header()]


@router.api_route("/", methods=_METHODS)
def page(accept_encoding: AcceptEncoding = "", if_none_match: IfNoneMatch = "") -> Response:
    response = _sent(service.page(), accept_encoding, if_none_match)
    response.headers["content-security-policy"] = PAGE_POLICY
    return response


@router.api_route("/dashboard/assets/{name:path}", methods=_METHODS)
def asset(name: str, accept_encoding: AcceptEncoding = "", if_none_match: IfNoneMatch = "") -> Response:
    return _sent(service.asset(name), accept_encoding, if_none_match)


@router.api_route("/dashboard/plotly.min.js", methods=_METHODS)
def plotly(accept_encoding: AcceptEncoding = "", if_none_match: IfNoneMatch = "") -> Response:
    return _sent(service.plotly(), accept_encoding, if_none_match)


def _sent(found: Asset, accept_encoding: str, if_none_match: str) -> Response:
    """The file, or that the browser has it. It may be kept, but is to be asked for each time: names do not change."""
    packs = found.compressed is not None and "gzip" in accept_encoding and not _REFUSED.search(accept_encoding)
    tag = found.compressed_tag if packs else found.plain_tag
    headers = {
        "etag": tag,
        "cache-control": "no-cache",
        "vary": "accept-encoding",
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
    }
    if tag in {each.strip().removeprefix("W/") for each in if_none_match.split(",")}:
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    if packs:
        headers["content-encoding"] = "gzip"
    body = found.compressed if packs else found.plain
    return Response(body, media_type=found.media_type, headers=headers)
