"""What a request writes in its address and its form, taken strictly: what is not plain text is refused, not guessed."""

import re
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, unquote_to_bytes

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_BROKEN_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 20


class BadInputError(ValueError):
    """What is wrong with a request, and how to write it. Quotes nothing of it."""


@web.middleware
async def readable(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses addresses that path and query could not be read from alike by everybody behind."""
    _check(request.raw_path, "the address")
    return await handler(request)


async def form_of(request: web.Request) -> dict[str, str]:
    """The fields of a form as our pages send it; without a body, none. Raises BadInputError."""
    try:
        body = await request.read()
    except (web.RequestPayloadError, HttpProcessingError) as error:
        raise BadInputError("the body does not match its Content-Encoding or its length; send it as it is") from error
    if not body:
        return {}
    if not _is_plain_form(request.headers.get("Content-Type", "")):
        raise BadInputError(f"send the form as {_FORM}, in UTF-8")
    try:
        text = body.decode()
        _check(text, "the form")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict"))
    except BadInputError:
        raise
    except ValueError:
        raise BadInputError(f"the form is not UTF-8 or has more than {_MAX_FIELDS} fields") from None


def _is_plain_form(content_type: str) -> bool:
    media, *parameters = (part.strip().lower() for part in content_type.split(";"))
    return media == _FORM and all(parameter.replace('"', "") in ("", "charset=utf-8") for parameter in parameters)


def _check(encoded: str, where: str) -> None:
    if _BROKEN_PERCENT.search(encoded):
        raise BadInputError(f"{where} has a % without two hexadecimal digits behind it; write a percent sign as %25")
    try:
        text = unquote_to_bytes(encoded).decode()
    except ValueError:
        raise BadInputError(f"{where} is not UTF-8 text; percent-encode it as UTF-8") from None
    if "\0" in text:
        raise BadInputError(f"{where} holds a NUL character; leave it out")
