"""A request of OpenAI's image and audio APIs, which is a form or JSON, as named values and files. No I/O."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from gateway.contracts import KnownMessages
from gateway.model.message import Blob, Entry, File, Message, Part, RequestReading, Text
from gateway.providers.known import entry_of
from gateway.providers.lenient import body_entry, raw_entry, text_or_none, value_of
from gateway.providers.multipart import is_form, read_form
from gateway.providers.openai_deployment import model_of
from gateway.providers.parts import blob, media, unknown
from gateway.providers.request import add_unread, with_repair
from gateway.providers.unread import with_unread

_NAMES = frozenset({"model", "user", "safety_identifier", "stream", "n", "temperature", "response_format"})
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_to_json = msgspec.json.Encoder().encode


class Fields(NamedTuple):
    state: Literal["full", "truncated", "unreadable"]
    values: dict[str, Any]
    """By name, without the brackets of a form's lists; a form's repeated ones one below the other."""
    files: list[Blob]
    body: bytes
    json: bytes = b""
    """The same as JSON, where it was understood; a form's files by their names."""

    def number(self, name: str) -> Any:
        """As JSON would have it: a form has digits."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        try:
            return float(value) if "." in value else int(value)
        except ValueError:
            return None

    def true(self, name: str) -> bool:
        value = self.values.get(name)
        return value is True or (isinstance(value, str) and value.lower() in ("true", "1"))


def fields_of(body: bytes, content_type: str) -> Fields:
    """Never raises."""
    if is_form(content_type):
        form = read_form(body, content_type)
        values: dict[str, str] = {}
        for field, value in form.fields:
            name = field.removesuffix("[]")
            # SECURITY: which of two prompts counts differs by server; agents read both.
            values[name] = f"{values[name]}\n{value}" if name in values else value
        names = [name for _, name, _ in form.files if name]
        json = _to_json({**values, "filenames": names} if names else values)
        return Fields(form.state, values, [content for _, _, content in form.files], body, json)
    try:
        held = value_of(body)
    except (ValueError, RecursionError):
        held = None
    return Fields("full", held, [], body, body) if isinstance(held, dict) else Fields("unreadable", {}, [], body)


def begun(
    fields: Fields,
    target: str,
    known: KnownMessages,
    *texts: str,
    media_in: tuple[str, ...] = (),
    system: tuple[str, ...] = (),
) -> RequestReading:
    """A reading with what a user says in these fields (`texts`), and the media of files and of `media_in`.

    `system`: where a model is told how to do it.
    """
    reading = RequestReading(state=fields.state, model=model_of(fields.values.get("model"), target))
    reading.stream = fields.true("stream")
    reading.user = text_or_none(fields.values.get("user")) or text_or_none(fields.values.get("safety_identifier"))
    parts = _said(fields, texts)
    for name in media_in:
        held = fields.values.get(name)
        parts += [_medium(name, each) for each in (held if isinstance(held, list) else [held]) if each is not None]
    parts += fields.files
    if parts:
        _add(reading, reading.messages, Message("user", tuple(parts)), fields, (*texts, *media_in))
    elif fields.state == "full":
        reading.state = "unreadable"
    if told := _said(fields, system):
        _add(reading, reading.system, Message("system", tuple(told)), fields, system)
    if fields.json:
        add_unread(reading, fields.json, _NAMES.union(texts, media_in, system), [], known)
    if reading.state == "unreadable" and (body := body_entry(fields.body, "user")) is not None:
        reading.messages.append(body)
    return reading


def _said(fields: Fields, names: Sequence[str]) -> list[Part]:
    said = [(name, fields.values.get(name)) for name in names]
    return [
        Text(value) if isinstance(value, str) else unknown(name, value)
        for name, value in said
        if value is not None and value != ""
    ]


def _add(reading: RequestReading, into: list[Entry], message: Message, fields: Fields, names: Sequence[str]) -> None:
    """The message that was read of these fields, with what else they say."""
    held = with_repair(_decode_fields, fields.json) or {}
    raw = _to_json({name: held[name] for name in names if name in held})
    try:
        into.append(entry_of(with_unread(message, raw)))
    except (ValueError, RecursionError):
        reading.state = "unreadable"
        into += [entry_of(message), raw_entry(raw, message.role)]


def _medium(name: str, held: Any) -> Part:
    """An image in JSON: an address, base64, or the id of a file."""
    if isinstance(held, dict):
        if file_id := text_or_none(held.get("file_id")):
            return File("image", file_id)
        held = held.get("image_url", held)
    if not isinstance(held, str):
        return unknown(name, held)
    return media("image", held) if ":" in held[:10] else blob("image", held, None)
