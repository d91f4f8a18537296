"""Reads a `multipart/form-data` body: fields as text, files as size, type and hash. Never keeps a file's bytes. No I/O.

Source of the format: RFC 7578. Bounded: so many parts, so much text of a field; what is beyond is left out and said.
"""

import logging
import re
from collections.abc import Callable
from hashlib import sha256
from typing import Literal
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.model.message import Blob
from gateway.providers.content import charset_known

PARTS_LIMIT = 1000
TEXT_LIMIT = 1024 * 1024
"""Characters that all fields may have together, in bytes."""
_ALWAYS_TEXT = frozenset({"prompt", "model", "keywords", "instructions", "input"})
"""SECURITY: named as a file's, what a model reads would be hidden from agents."""
_BOUNDARY = re.compile(r"boundary([*0-9]*)\s*=", re.IGNORECASE)
_NAME = re.compile(rb"\bname([*0-9]*)\s*=", re.IGNORECASE)
_EXTENDED_FILE_NAME = re.compile(rb"\bfilename\*\s*=\s*[^';\s]*'[^';\s]*'([^;\s]*)", re.IGNORECASE)
"""RFC 5987, for names that are not ASCII."""
_WIDE = re.compile(r"utf-?(?:16|32)", re.IGNORECASE)
_PLAIN_ENCODINGS = frozenset({b"7bit", b"8bit", b"binary"})
_quiet = logging.Logger("multipart", logging.CRITICAL + 1)
"""A client's broken form is a fact about the exchange, not a line in our log."""


class Form:
    """What a form holds, or held until it broke off."""

    __slots__ = ("fields", "files", "state")

    def __init__(self) -> None:
        self.state: Literal["full", "truncated", "unreadable"] = "full"
        """`truncated`: the body ended early, or was more than may be kept. `unreadable`: it is no form, or one that
        servers read differently."""
        self.fields: list[tuple[str, str]] = []
        self.files: list[tuple[str, str, Blob]] = []
        """Field, file name, and what stands for the content; a file that broke off has no hash."""


def is_form(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


def read_form(body: bytes, content_type: str) -> Form:
    """Never raises, whatever the bytes are."""
    reader = FormReader(content_type)
    reader.feed(body)
    form = reader.end()
    if reader.left_behind(body):
        form.state = "unreadable"
    return form


class FormReader:
    """Takes a body in pieces, cut anywhere."""

    __slots__ = ("_boundary", "_ended", "_form", "_odd", "_parser", "_part", "_room")

    def __init__(self, content_type: str) -> None:
        self._form = Form()
        self._ended = False
        # SECURITY: of two boundaries each server takes another one, and finds other parts between them.
        self._odd = _BOUNDARY.findall(content_type) != [""]
        self._part: _Part | None = None
        self._room = TEXT_LIMIT
        self._parser: MultipartParser | None = None
        self._boundary = boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            self._form.state = "unreadable"
            return
        try:
            self._parser = MultipartParser(boundary, self._callbacks())  # type: ignore[arg-type]
        except FormParserError:
            self._form.state = "unreadable"
            return
        self._parser.logger = _quiet

    def feed(self, data: bytes) -> None:
        if self._parser is None:
            return
        try:
            self._parser.write(data)
        except FormParserError:
            self._parser = None
            self._form.state = "unreadable"

    def end(self) -> Form:
        """The body is over. What was being read counts as far as it came."""
        form = self._form
        if self._part is not None:
            self._keep(self._part, whole=False)
            self._part = None
        if form.state == "full" and not self._ended:
            form.state = "truncated" if form.fields or form.files else "unreadable"
        if self._odd:
            form.state = "unreadable"
        return form

    def left_behind(self, body: bytes) -> bool:
        """SECURITY: whether there is anything behind the form's end, which lenient servers read on in."""
        end = b"\r\n--%b--" % self._boundary
        return bool(body.partition(end)[2].strip())

    def _callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._header(1, data[start:end]),
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._end_of_form,
        }

    def _begin(self) -> None:
        self._part = _Part()

    def _header(self, which: int, piece: bytes) -> None:
        if self._part is not None:
            self._part.header[which] += piece

    def _header_end(self) -> None:
        if self._part is not None:
            self._odd |= not self._part.header_over()

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        if part is None:
            return
        if part.is_file:
            if not part.content_type and len(part.text) == part.size and end - start <= self._room:
                part.text += data[start:end]
                self._room -= end - start
            part.size += end - start
            part.hash.update(memoryview(data)[start:end])
            return
        kept = data[start : min(end, start + self._room)]
        self._room -= len(kept)
        part.text += kept
        if len(kept) < end - start:
            self._form.state = "truncated"

    def _end(self) -> None:
        if self._part is not None:
            self._keep(self._part, whole=True)
            self._part = None

    def _end_of_form(self) -> None:
        self._ended = True

    def _keep(self, part: "_Part", whole: bool) -> None:
        form = self._form
        if len(form.fields) + len(form.files) >= PARTS_LIMIT:
            form.state = "truncated"
        elif not part.is_file:
            self._odd = self._odd or bool(_WIDE.search(part.typed)) or not charset_known(part.typed, bytes(part.text))
            form.fields.append((part.name, part.text.decode("utf-8", "replace")))
        else:
            # SECURITY: what has no type is a field to some servers, whatever file it names.
            if part.text and len(part.text) == part.size and part.text.find(b"\0") < 0 and _is_utf8(part.text):
                form.fields.append((part.name, part.text.decode()))
            kind = part.content_type
            modality = kind.partition("/")[0] if kind.startswith(("image/", "audio/", "video/")) else "document"
            content = Blob(modality, kind or None, part.hash.hexdigest() if whole else None, part.size)
            # SECURITY: without a file's name it is a field to most servers, whatever its type.
            self._odd = self._odd or (part.size > 0 and not part.file_name)
            form.files.append((part.name, part.file_name, content))


class _Part:
    __slots__ = ("_seen", "content_type", "file_name", "hash", "header", "name", "size", "text", "typed")

    def __init__(self) -> None:
        self.header = [b"", b""]
        self.name = ""
        self.file_name = ""
        self.typed = self.content_type = ""
        """With its parameters, and without."""
        self._seen: set[bytes] = set()
        self.size = 0
        self.hash = sha256()
        self.text = bytearray()

    def header_over(self) -> bool:
        """SECURITY: False where servers differ about what this header says of the part."""
        field, value = self.header[0].strip().lower(), self.header[1]
        self.header = [b"", b""]
        clear = field not in self._seen
        self._seen.add(field)
        if field == b"content-disposition":
            options = parse_options_header(value)[1]
            self.name = options.get(b"name", b"").decode("utf-8", "replace")
            self.file_name = options.get(b"filename", b"").decode("utf-8", "replace")
            if not self.file_name and (extended := _EXTENDED_FILE_NAME.search(value)) is not None:
                self.file_name = unquote(extended[1].decode("latin-1"))
            escaped = "\\" in self.name or "%" in self.name
            # Some servers look for it in quotes too, others do not know which quotes are escaped.
            return clear and not escaped and _NAME.findall(value) == [b""]
        if field == b"content-type":
            self.typed = value.decode("latin-1")
            self.content_type = self.typed.partition(";")[0].strip().lower()
            return clear
        if field == b"content-transfer-encoding":
            return clear and value.strip().lower() in _PLAIN_ENCODINGS
        return clear

    @property
    def is_file(self) -> bool:
        """Also what has no file name, where its type is none of text's."""
        kind = self.content_type
        sound = bool(kind) and not kind.startswith(("text/", "application/json"))
        name = self.name.strip().casefold().removesuffix("[]")
        return (bool(self.file_name) or sound) and name not in _ALWAYS_TEXT


def _is_utf8(data: bytes | bytearray) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
