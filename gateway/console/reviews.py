"""The REST API of reviews: what waits for a person, and the person's decision."""

import asyncio
from typing import Literal

import msgspec
from aiohttp import web

from gateway.console.answers import Page, answered, failed
from gateway.console.api import BadQueryError, NotFoundError
from gateway.console.desk import DESK
from gateway.model.review import Decision
from gateway.store import reviews
from gateway.store.reviews import ReviewRow

routes = web.RouteTableDef()
_STATUSES: dict[str, reviews.Status | None] = {
    "": None,
    "pending": "pending",
    "decided": "decided",
    "expired": "expired",
}


class _Said(msgspec.Struct, forbid_unknown_fields=True):
    decision: Decision
    reason: str = ""


class _Done(msgspec.Struct):
    id: str
    decision: Decision
    status: Literal["decided"] = "decided"


@routes.get("/api/v1/reviews")
async def listing(request: web.Request) -> web.Response:
    """The newest hundred."""
    asked = request.query.get("status", "")
    if asked not in _STATUSES:
        raise BadQueryError("status must be pending, decided or expired")
    found = await asyncio.to_thread(reviews.listed, request.app[DESK].path, _STATUSES[asked])
    return answered(Page[ReviewRow](found, None))


@routes.post("/api/v1/reviews/{id}/decision")
async def decision(request: web.Request) -> web.Response:
    review_id = request.match_info["id"]
    try:
        said = msgspec.json.decode(await request.read(), type=_Said)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise BadQueryError(
            'send JSON such as {"decision": "approve", "reason": "…"}; decisions are approve, decline, change'
        ) from None
    path = request.app[DESK].path
    try:
        await asyncio.to_thread(reviews.decide, path, review_id, said.decision, "administrator", said.reason)
    except reviews.NoSuchReviewError as error:
        raise NotFoundError(str(error)) from error
    except reviews.NotPendingError as error:
        return failed(409, "not_pending", str(error))
    return answered(_Done(review_id, said.decision))
