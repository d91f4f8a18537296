"""A request of OpenAI's image and audio APIs, which is a form or JSON, as named values and files. No I/O."""

from typing import Any, Literal, NamedTuple

from gateway.model.message import Blob, File, Message, Part, RequestReading, Text
from gateway.providers.known import entry_of
from gateway.providers.lenient import body_entry, text_or_none, value_of
from gateway.providers.multipart import is_form, read_form
from gateway.providers.openai_deployment import model_of
from gateway.providers.parts import blob, media, unknown


class Fields(NamedTuple):
    state: Literal["full", "truncated", "unreadable"]
    values: dict[str, Any]
    """By name, without the brackets of a form's lists; a form's repeated ones one below the other."""
    files: list[Blob]
    body: bytes

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
        return Fields(form.state, values, [content for _, _, content in form.files], body)
    try:
        held = value_of(body)
    except (ValueError, RecursionError):
        held = None
    return Fields("full", held, [], body) if isinstance(held, dict) else Fields("unreadable", {}, [], body)


def begun(fields: Fields, target: str, *texts: str, media_in: tuple[str, ...] = ()) -> RequestReading:
    """A reading with what a user says in these fields (`texts`), and the media of files and of `media_in`."""
    reading = RequestReading(state=fields.state, model=model_of(fields.values.get("model"), target))
    reading.stream = fields.true("stream")
    reading.user = text_or_none(fields.values.get("user")) or text_or_none(fields.values.get("safety_identifier"))
    parts: list[Part] = []
    for name in texts:
        said = fields.values.get(name)
        if said is not None and said != "":
            parts.append(Text(said) if isinstance(said, str) else unknown(name, said))
    for name in media_in:
        held = fields.values.get(name)
        parts += [_medium(name, each) for each in (held if isinstance(held, list) else [held]) if each is not None]
    parts += fields.files
    if parts:
        reading.messages.append(entry_of(Message("user", tuple(parts))))
    elif fields.state == "full":
        reading.state = "unreadable"
    if reading.state == "unreadable" and (body := body_entry(fields.body, "user")) is not None:
        reading.messages.append(body)
    return reading


def _medium(name: str, held: Any) -> Part:
    """An image in JSON: an address, base64, or the id of a file."""
    if isinstance(held, dict):
        if file_id := text_or_none(held.get("file_id")):
            return File("image", file_id)
        held = held.get("image_url", held)
    if not isinstance(held, str):
        return unknown(name, held)
    return media("image", held) if ":" in held[:10] else blob("image", held, None)
