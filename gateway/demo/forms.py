"""Forms as the built-in model takes them. No I/O."""

from typing import Any

from gateway.providers.multipart import Form, read_form


def is_form(body: bytes) -> bool:
    """Told by its first line, which is the boundary."""
    return body.startswith(b"--")


def form_of(body: bytes) -> Form:
    return read_form(body, f"multipart/form-data; boundary={_boundary(body)[2:].decode('latin-1')}")


def values_of(form: Form) -> dict[str, Any]:
    """By name without a list's brackets; a file is known by its size."""
    files = {name: f"{content.size} bytes" for name, _, content in form.files}
    return {name.removesuffix("[]"): value for name, value in (dict(form.fields) | files).items()}


def without_boundary(body: bytes) -> bytes:
    """What the form says: clients make a new boundary for each request, and the same request has the same answer."""
    return body.replace(_boundary(body), b"--") if is_form(body) else body


def _boundary(body: bytes) -> bytes:
    return body.partition(b"\r\n")[0]
