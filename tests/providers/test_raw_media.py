"""Of a body that is not understood agents see all, and spans and store have media by size and hash."""

from hashlib import sha256

import pytest

from gateway.contracts import Provider
from gateway.model.message import Entry
from gateway.providers.built_in import formats
from gateway.providers.known import KnownMessageCache
from gateway.providers.lenient import raw_entry

PICTURE = b"iVBORw0KGgo+" * 100
HIDDEN = f"<1200 bytes of base64, sha256 {sha256(PICTURE).hexdigest()}>"


def name_of(provider: Provider) -> str:
    return provider.name


def stored_without_picture(entries: list[Entry]) -> bool:
    return not any(PICTURE[:40] in entry.json for entry in entries)


@pytest.mark.parametrize("provider", formats(), ids=name_of)
@pytest.mark.parametrize("before", [b'{"x":"nightjar","image":"', b'["nightjar","data:image/png;base64,'])
def test_an_answer_that_broke_off_in_a_picture_is_stored_without_it(provider: Provider, before: bytes) -> None:
    reader = provider.response_reader(None, 200, "application/json")
    reader.feed(before + PICTURE)
    reading = reader.end(complete=False)
    assert reading.state == "truncated"
    assert stored_without_picture(reading.messages)
    for entry in reading.messages:
        assert any(PICTURE.decode() in text for text in entry.texts)


@pytest.mark.parametrize("provider", formats(), ids=name_of)
def test_a_request_that_broke_off_in_a_picture_is_stored_without_it(provider: Provider) -> None:
    body = b'{"messages":[{"role":"user","content":"nightjar"}],"image":"' + PICTURE
    reading = provider.read_request(body, KnownMessageCache(), "", "application/json")
    assert stored_without_picture([*reading.messages, *reading.definitions])
    assert any("nightjar" in text for entry in reading.messages for text in entry.texts)


def test_what_stands_around_a_picture_is_stored() -> None:
    entry = raw_entry(b'broken "' + PICTURE + b'" and "' + PICTURE, "user")
    assert entry.json.decode().count(HIDDEN) == 2
    assert b"broken" in entry.json
    assert entry.texts == ('broken "' + PICTURE.decode() + '" and "' + PICTURE.decode(),)
