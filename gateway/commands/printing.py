"""Text for a terminal: nothing that was stored may steer it. Pure, but for asking a stream whether it is a terminal."""

import re
import sys
from shutil import get_terminal_size
from typing import TextIO

# SECURITY: ids, prompts and model names come from clients; escape sequences in them could rewrite the screen or worse.
# C0 and C1 controls, DEL, line separators, and the marks that turn the reading direction.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_CONTROLS_BUT_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_COLOURS = {"allowed": 32, "flagged": 33, "redacted": 35, "escalated": 33, "blocked": 31, "dim": 2, "bold": 1}
_COLOURS |= {"none": 2, "settled": 32, "awaiting_review": 33}


def one_line(text: str) -> str:
    """On one line, with controls shown as their code points."""
    return _CONTROLS.sub(_shown, text.replace("\r\n", " ").replace("\n", " ").replace("\t", " "))


def lines(text: str) -> list[str]:
    """Line breaks and tabs kept, other controls shown."""
    return _CONTROLS_BUT_LINES.sub(_shown, text.replace("\r\n", "\n")).split("\n")


def json_text(encoded: bytes) -> str:
    """The same JSON, the controls that it need not escape escaped."""
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", encoded.decode())


def _shown(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}" if ord(match[0]) < 256 else f"\\u{ord(match[0]):04x}"


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


class Printer:
    """Writes to one stream; colours only where a person looks."""

    def __init__(self, out: TextIO, colours: bool | None = None) -> None:
        self._out = out
        self.colours = out.isatty() if colours is None else colours
        self.columns = get_terminal_size().columns if out.isatty() else sys.maxsize

    def line(self, text: str = "") -> None:
        self._out.write(text + "\n")

    def flush(self) -> None:
        self._out.flush()

    def coloured(self, text: str, kind: str) -> str:
        """`kind` is an outcome, what a session asks for, `dim` or `bold`."""
        colour = _COLOURS.get(kind)
        return f"\x1b[{colour}m{text}\x1b[0m" if self.colours and colour else text
