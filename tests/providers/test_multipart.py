"""Forms: any cut gives the same meaning, files are known by size and hash alone, what is broken is said to be."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.multipart import PARTS_LIMIT, TEXT_LIMIT, Form, FormReader, read_form

TYPE = 'multipart/form-data; boundary="b-1"'
SOUND = b"RIFF\r\n--b\0\r\n--b-" + bytes(range(256))


def part(headers: str, content: bytes) -> bytes:
    return b"--b-1\r\n" + headers.replace("\n", "\r\n").encode() + b"\r\n\r\n" + content + b"\r\n"


def text(name: str, content: str) -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"', content.encode())


FILE = part('content-type: audio/wav\nCONTENT-DISPOSITION: form-data; name="file"; filename="é.wav"', SOUND)
WHOLE = text("model", "whisper-1") + FILE + text("prompt", "naïve\r\ntext") + b"--b-1--\r\n"


def told(form: Form) -> tuple[object, ...]:
    return form.state, form.fields, form.files


def test_fields_are_text_and_files_are_size_type_and_hash() -> None:
    form = read_form(WHOLE, TYPE)
    assert form.state == "full"
    assert form.fields == [("model", "whisper-1"), ("prompt", "naïve\r\ntext")]
    [(name, file_name, content)] = form.files
    assert (name, file_name) == ("file", "é.wav")
    assert (content.modality, content.mime_type, content.size) == ("audio", "audio/wav", len(SOUND))
    assert content.sha256 == sha256(SOUND).hexdigest()


@given(cuts=st.lists(st.integers(0, len(WHOLE)), max_size=8))
def test_any_cut_of_the_bytes_gives_the_same_form(cuts: list[int]) -> None:
    reader = FormReader(TYPE)
    ends = [*sorted(cuts), len(WHOLE)]
    for start, end in zip([0, *ends], ends, strict=False):
        reader.feed(WHOLE[start:end])
    assert told(reader.end()) == told(read_form(WHOLE, TYPE))


def test_a_form_that_breaks_off_anywhere_keeps_what_came_and_says_so() -> None:
    for end in range(len(WHOLE) - len(b"--\r\n")):
        form = read_form(WHOLE[:end], TYPE)
        assert form.state in ("truncated", "unreadable")
        assert all(content.size == len(SOUND) for _, _, content in form.files if content.sha256)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (WHOLE, "multipart/form-data"),
        (WHOLE, "multipart/form-data; boundary=other"),
        (WHOLE, "multipart/form-data; boundary=" + "x" * 1000),
        (b"", TYPE),
        (b"no form", TYPE),
        (b"--b-1\r\n" + b"x" * 10_000 + b": y\r\n\r\n", TYPE),
        (b"--b-1\r\n" + b"a: b\r\n" * 1000 + b"\r\n", TYPE),
        (b"--b-1\r\n\x00\xff: y\r\n\r\nz\r\n--b-1--", TYPE),
    ],
)
def test_what_is_no_form_is_unreadable(body: bytes, content_type: str) -> None:
    assert read_form(body, content_type).state == "unreadable"


@pytest.mark.parametrize("name", ["prompt", "Prompt", " prompt", "prompt[]"])
def test_a_prompt_that_claims_to_be_a_file_is_read_all_the_same(name: str) -> None:
    body = part(f'Content-Disposition: form-data; name="{name}"; filename="x"', b"nightjar") + b"--b-1--\r\n"
    assert read_form(body, TYPE).fields == [(name, "nightjar")]


def test_a_file_without_a_name_is_a_field_as_far_as_servers_know() -> None:
    body = part('Content-Disposition: form-data; name="style"; filename=""', b"nightjar") + b"--b-1--\r\n"
    assert read_form(body, TYPE).fields == [("style", "nightjar")]
    empty = part('Content-Disposition: form-data; name="mask"; filename=""\nContent-Type: image/png', b"")
    assert read_form(empty + b"--b-1--\r\n", TYPE).state == "full"


def test_bytes_without_a_file_name_are_a_file_by_their_type() -> None:
    body = part('Content-Disposition: form-data; name="image"\nContent-Type: image/png', b"\x89PNG") + b"--b-1--\r\n"
    [(name, _, content)] = read_form(body, TYPE).files
    assert (name, content.modality, content.size) == ("image", "image", 4)


def test_text_and_parts_are_bounded() -> None:
    long = read_form(text("prompt", "x" * (TEXT_LIMIT + 10)) + b"--b-1--\r\n", TYPE)
    assert (long.state, len(long.fields[0][1])) == ("truncated", TEXT_LIMIT)
    many = read_form(text("a", "b") * (PARTS_LIMIT + 5) + b"--b-1--\r\n", TYPE)
    assert (many.state, len(many.fields)) == ("truncated", PARTS_LIMIT)


def test_a_broken_form_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    read_form(b"--b-1\r\n\x00: y\r\n\r\n", TYPE)
    assert caplog.records == []


DISPOSITION = 'Content-Disposition: form-data; name="prompt"'


@pytest.mark.parametrize(
    ("headers", "content_type"),
    [
        (DISPOSITION, 'multipart/form-data; boundary="b-1"; boundary=b-2'),
        (DISPOSITION, 'multipart/form-data; boundary="b-1"; BOUNDARY=b-2'),
        (DISPOSITION, "multipart/form-data; boundary=\"b-1\"; boundary*=utf-8''b-2"),
        (DISPOSITION, 'multipart/form-data; boundary*0=b-2; boundary="b-1"'),
        (f'{DISPOSITION}\nContent-Disposition: form-data; name="user"', TYPE),
        ('Content-Disposition: form-data; name="user"; name="prompt"', TYPE),
        ('Content-Disposition: form-data; name="file"; filename="a\\\\"; name="prompt"', TYPE),
        ('Content-Disposition: form-data; name="file"; filename="a\\"; name="prompt"', TYPE),
        ("Content-Disposition: form-data; name=\"user\"; name*=utf-8''prompt", TYPE),
        ('Content-Disposition: form-data; name="pro\\mpt"; filename="x"', TYPE),
        ('Content-Disposition: form-data; name="%70rompt"; filename="x"', TYPE),
        ('Content-Disposition: form-data; name="style"\nContent-Type: application/octet-stream', TYPE),
        ('Content-Disposition: form-data; name="style"; filename=""\nContent-Type: image/png', TYPE),
        (f"{DISPOSITION}\nContent-Transfer-Encoding: quoted-printable", TYPE),
        (f"{DISPOSITION}\nContent-Transfer-Encoding: base64", TYPE),
        (f"{DISPOSITION}\nContent-Type: text/plain; charset=utf-16le", TYPE),
    ],
)
def test_what_servers_read_differently_is_unreadable(headers: str, content_type: str) -> None:
    assert read_form(part(headers, b"say it") + b"--b-1--\r\n", content_type).state == "unreadable"


@pytest.mark.parametrize("behind", [b"\r\n" + text("prompt", "more") + b"--b-1--\r\n", b"more"])
def test_a_form_with_something_behind_its_end_is_unreadable(behind: bytes) -> None:
    assert read_form(WHOLE + behind, TYPE).state == "unreadable"
    assert read_form(WHOLE + b"\r\n", TYPE).state == "full"


@pytest.mark.parametrize(
    "headers",
    [
        f"{DISPOSITION}\nContent-Transfer-Encoding: 8bit\nContent-Type: text/plain; charset=UTF-8",
        f"{DISPOSITION}\nContent-Type: text/plain; charset=ISO-8859-1\nContent-Transfer-Encoding: 8bit",
        'Content-Disposition: form-data; name="file"; filename="me.txt"\nContent-Type: text/plain; charset=utf-16',
        "Content-Disposition: form-data; name=\"file\"; filename*=utf-8''%C3%A9.wav\nContent-Type: audio/wav",
        'Content-Disposition: form-data; name="file"; filename="a \\"b\\".wav"',
        'Content-Disposition: form-data; name="file"; filename="C:\\\\sounds\\\\a.wav"',
    ],
)
def test_what_they_read_alike_is_not(headers: str) -> None:
    assert read_form(part(headers, b"say it") + b"--b-1--\r\n", TYPE).state == "full"


@pytest.mark.parametrize(
    "disposition",
    [
        'form-data; x="; name=prompt; y="; name="file"; filename="a.wav"',
        'form-data; name="file"; filename="; name=prompt; x="',
        'form-data; name="file"; filename="my name=x.wav"',
    ],
)
def test_a_name_in_quotes_is_one_to_some_servers(disposition: str) -> None:
    form = read_form(part(f"Content-Disposition: {disposition}", b"say it") + b"--b-1--\r\n", TYPE)
    assert form.state == "unreadable"


def test_latin_text_that_is_not_ascii_is_unreadable() -> None:
    said = part(f"{DISPOSITION}\nContent-Type: text/plain; charset=ISO-8859-1", "é".encode("latin-1"))
    assert read_form(said + b"--b-1--\r\n", TYPE).state == "unreadable"


@pytest.mark.parametrize(("content", "fields"), [(b"say it", [("hotwords", "say it")]), (SOUND, []), (b"\xff\xfe", [])])
def test_a_file_without_a_type_is_shown_if_it_is_text(content: bytes, fields: list[tuple[str, str]]) -> None:
    form = read_form(
        part('Content-Disposition: form-data; name="hotwords"; filename="a"', content) + b"--b-1--\r\n", TYPE
    )
    assert form.fields == fields
    [(name, _, blob)] = form.files
    assert (name, blob.size) == ("hotwords", len(content))
