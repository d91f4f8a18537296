"""Whatever a request writes, nothing breaks on it: it is answered, or refused with what is wrong."""

import asyncio
import gzip

import pytest

from tests.console.conftest import TOKEN, Client, Put
from tests.link.fakes import a_record

_ROUTES = [
    "/",
    "/sessions/s1",
    "/login",
    "/logout",
    "/static/console.css",
    "/nowhere",
    "/api/v1/sessions",
    "/api/v1/sessions/s1",
    "/api/v1/sessions/s1/traces",
    "/api/v1/traces/a.inlet",
    "/api/v1/nothing",
]
_PARAMETERS = ["limit", "cursor", "before", "after", "workspace", "next", "anything"]
_UNREADABLE = {
    "a NUL": b"%00",
    "a NUL inside": b"a%00b",
    "a lone surrogate": b"%ED%A0%80",
    "a byte that is not UTF-8": b"%FF",
    "half a character": b"%C3",
    "an overlong slash": b"%C0%AF",
    "beyond Unicode": b"%F5%80%80%80",
    "a broken escape": b"%zz",
    "half an escape": b"%4",
    "a bare percent": b"%",
}
_FORM = b"application/x-www-form-urlencoded"


async def _asked(client: Client, head: bytes, body: bytes = b"") -> tuple[int, str]:
    """Byte for byte: a client library would mend what is odd."""
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    lines = [head, b"Host: console", b"Connection: close", b"Content-Length: %d" % len(body)]
    writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2].decode()


def _get(target: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\nAuthorization: Bearer %b" % (target, TOKEN.encode())


@pytest.mark.parametrize("route", _ROUTES)
async def test_an_address_that_is_not_text_is_a_400_that_says_why(stranger: Client, route: str) -> None:
    for what, odd in _UNREADABLE.items():
        for target in (route.encode() + odd, *(f"{route}?{name}=".encode() + odd for name in _PARAMETERS)):
            status, said = await _asked(stranger, _get(target))
            assert status == 400, (what, target)
            assert "he address " in said, (what, target)


@pytest.mark.parametrize(
    "target",
    [
        b"/caf\xe9",
        b"/\xed\xa0\x80",
        b"/?limit=\xff",
        b"//[::1",
        b"http://[::1/",
        b"http://a:99999999/",
        b"*",
        b"?",
        b"/" + b"a" * 300,
        b"/static/" + b"a" * 300,
        b"/static/..%2f..%2fauth.py",
        b"/static/%2e%2e/auth.py",
        b"/static/console.css/x",
        b"/static/",
        b"/sessions/" + b"%2F" * 300,
        b"/sessions/%0d%0aX-Evil:1",
        b"/login?next=%0d%0aX-Evil:1",
        b"/login?next=%2F%2500",
        b"/?" + b"a=1&" * 1000,
        b"/?" + b"=" * 1000,
        b"/a" * 4000,
    ],
)
async def test_an_odd_address_is_refused_or_answered(stranger: Client, target: bytes) -> None:
    status, said = await _asked(stranger, _get(target))
    assert status < 500, said[:200]
    assert "BUILTIN" not in said
    assert "class Auth" not in said


@pytest.mark.parametrize(
    "digits", ["9" * 4500, "0" * 4500, "0" * 8 + "9" * 4500, "1" + "0" * 4999, "²", "٣", "1_0", "+1"]
)
@pytest.mark.parametrize("path", ["/api/v1/sessions", "/api/v1/sessions/s1/traces"])
async def test_a_limit_that_is_no_such_number_says_so(script: Client, put: Put, path: str, digits: str) -> None:
    put(a_record())
    answer = await script.get(path, params={"limit": digits})
    assert answer.status == 400
    assert "limit must be a whole number from 1 to" in (await answer.json())["error"]["message"]


async def test_a_limit_may_have_zeros_before_it(script: Client) -> None:
    assert (await script.get("/api/v1/sessions", params={"limit": "0" * 4500 + "7"})).status == 200


@pytest.mark.parametrize(
    "cursor", ["9" * 4500, "é", "=", "====", "a" * 99, "\u0663", " ", "-_-_", "MQ==", "LTE", "MS4x.", "\ud7ff"]
)
@pytest.mark.parametrize(
    "path", ["/?before", "/sessions/s1?after", "/api/v1/sessions?cursor", "/api/v1/sessions/s1/traces?cursor"]
)
async def test_a_cursor_nobody_made_is_never_a_crash(script: Client, put: Put, path: str, cursor: str) -> None:
    put(a_record())
    path, _, name = path.partition("?")
    assert (await script.get(path, params={name: cursor})).status in (200, 400)


@pytest.mark.parametrize(
    "content_type",
    [
        _FORM + b"; charset=no-such-charset",
        _FORM + b"; charset=utf-7",
        _FORM + b"; charset=utf-16",
        _FORM + b"; charset=hex",
        _FORM + b"; charset=idna",
        _FORM + b"; charset=undefined",
        _FORM + b"; charset=" + b"x" * 4000,
        _FORM + b"; charset*=utf-7''x",
        _FORM + b"; charset=\xff",
        _FORM + b'; charset="utf-8',
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=" + b"x" * 200,
        b"multipart/form-data; boundary=\xff",
        b"application/json",
        b"text/plain",
        b";",
        b"/",
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("path", [b"/login", b"/logout"])
async def test_a_form_of_another_kind_is_a_400_that_says_which_to_send(
    stranger: Client, path: bytes, content_type: bytes
) -> None:
    head = b"POST %b HTTP/1.1\r\nContent-Type: %b\r\n%b" % (path, content_type, await _cookie(stranger))
    status, said = await _asked(stranger, head, b"token=x&csrf=x")
    if content_type.endswith(b'"utf-8'):
        assert status in (400, 401, 403)
    else:
        assert (status, "in UTF-8" in said) == (400, True)


@pytest.mark.parametrize("odd", [*_UNREADABLE.values(), b"\xff", b"\xed\xa0\x80", b"\0", b"&x" * 30])
@pytest.mark.parametrize("field", [b"token", b"next", b"csrf", b"other", b""])
@pytest.mark.parametrize("path", [b"/login", b"/logout"])
async def test_a_form_that_is_not_text_is_a_400_that_says_why(
    stranger: Client, path: bytes, field: bytes, odd: bytes
) -> None:
    head = b"POST %b HTTP/1.1\r\nContent-Type: %b\r\n%b" % (path, _FORM, await _cookie(stranger))
    status, said = await _asked(stranger, head, field + b"=" + odd)
    assert (status, "he form " in said) == (400, True)


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate", b"br", b"zstd", b"no-such-encoding", b"\xff"])
async def test_a_body_that_is_not_what_its_encoding_says_is_refused(stranger: Client, encoding: bytes) -> None:
    head = b"POST /login HTTP/1.1\r\nContent-Type: %b\r\nContent-Encoding: %b" % (_FORM, encoding)
    status, _ = await _asked(stranger, head, b"\x99not compressed")
    assert status == 400


async def test_a_body_that_unpacks_to_too_much_is_refused(stranger: Client) -> None:
    head = b"POST /login HTTP/1.1\r\nContent-Type: %b\r\nContent-Encoding: gzip" % _FORM
    status, said = await _asked(stranger, head, gzip.compress(b"a=" + b"a" * 10_000_000))
    assert status == 413
    assert "That is too much" in said


@pytest.mark.parametrize(
    "header",
    [
        b"Cookie: spangate_login=\xff",
        b"Cookie: spangate_login=\xed\xa0\x80",
        b"Cookie: spangate_login",
        b'Cookie: spangate_login="\\355\\240\\200"',
        b"Cookie: =;=;;=",
        b"Cookie: spangate_login=" + b"x" * 7000,
        b"Authorization: Bearer \xff",
        b"Authorization: Bearer \xed\xa0\x80",
        b"Authorization: \xff",
        b"Sec-Fetch-Site: \xff",
        b"Accept: \xff",
        b"Range: bytes=9-1",
        b"Range: bytes=" + b"9" * 4500 + b"-",
        b"If-Modified-Since: \xff",
        b"If-None-Match: \xff",
        b"If-Range: \xff",
        b"Accept-Encoding: \xff",
        b"X-HTTP-Method-Override: \xff",
    ],
)
async def test_odd_headers_break_nothing(stranger: Client, header: bytes) -> None:
    for target in (b"/", b"/login", b"/static/console.css", b"/api/v1/sessions"):
        status, said = await _asked(stranger, b"GET %b HTTP/1.1\r\n%b" % (target, header))
        assert status < 500, (target, said[:200])


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "POST"])
async def test_a_method_that_a_path_does_not_take_is_told_which_it_takes(script: Client, method: str) -> None:
    answer = await script.request(method, "/api/v1/sessions")
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]
    assert "GET" in (await answer.json())["error"]["message"]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/nowhere", 404, "There is no such page"),
        ("/?before=zzz", 400, "begin with the newest"),
        ("/sessions/none", 404, "There is no such session"),
    ],
)
async def test_what_goes_wrong_is_shown_as_a_page(stranger: Client, path: str, status: int, says: str) -> None:
    await stranger.post("/login", data={"token": TOKEN})
    answer = await stranger.get(path)
    assert (answer.status, answer.content_type) == (status, "text/html")
    text = await answer.text()
    assert says in text
    assert '<a href="/">All sessions</a>' in text


async def _cookie(client: Client) -> bytes:
    """A header that makes the request a logged-in browser's."""
    answer = await client.post("/login", data={"token": TOKEN}, allow_redirects=False)
    return b"Cookie: " + answer.headers["Set-Cookie"].partition(";")[0].encode()
