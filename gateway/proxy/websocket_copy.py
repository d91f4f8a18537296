"""What one direction of a WebSocket says: whole messages out of a copy of its frames, inflated, bounded. No I/O.

wsproto decodes the data frames. Control frames are kept from it: its permessage-deflate (1.3.2) forgets that a message
in fragments is compressed when a ping comes between two of them. Text goes to it as binary: at bad UTF-8 it gives up,
though no message behind it is any the worse.
"""

from codecs import getincrementaldecoder
from typing import NamedTuple

from wsproto.connection import CLIENT, SERVER, Connection
from wsproto.events import BytesMessage
from wsproto.extensions import Extension, PerMessageDeflate

from gateway.proxy.websocket_frames import BINARY, CLOSE, PING, PONG, TEXT, Piece, close_code

_STEP = 4096
"""Bytes fed at a time: deflated, they can become a thousand times as many, and wsproto inflates without a limit."""
_FREE = 64 * 1024
"""Bytes of each message that may be made of any few: silence, sent as sound, is deflated to nothing."""
_MOST_PER_BYTE = 64
"""As many bytes each byte on the wire may become beside that, on average; JSON becomes ten or twenty."""

MOST_FRAMES = 16_384
"""Of one message. Each costs far more than its bytes, which may be none."""


_Utf8 = getincrementaldecoder("utf-8")


class Message(NamedTuple):
    data: bytes
    whole: bool
    """False: longer than may be kept; this is its beginning."""
    sound: bool = True
    """False: text that is no UTF-8, as it came."""


class Copy:
    """Never raises: what it cannot understand sets `lost`, and it understands nothing from there on."""

    def __init__(self, from_client: bool, extensions: bytes, keep: int, limit: int) -> None:
        """`extensions`: what was negotiated; `keep`: bytes of a message at most; one beyond `limit` loses the copy.

        So does what becomes very many bytes of few: what comes behind it cannot be inflated without it.
        """
        self.lost = ""
        """Why it stopped; "" while it understands."""
        self.code: int | None = None
        """Of the close frame, once it came."""
        self._keep = keep
        self._limit = limit
        self._size = 0
        self._frames = 0
        """Of the current message, that have ended."""
        self._budget = keep
        """Inflated bytes that may still come."""
        self._kept = bytearray()
        self._text = False
        self._sound = True
        self._decoder = _Utf8()
        try:
            agreed = _agreed(extensions)
        except ValueError:
            agreed, self.lost = [], "unknown_extension"
        self._connection = Connection(SERVER if from_client else CLIENT, agreed)

    def feed(self, piece: Piece) -> Message | None:
        """The message that ends with this piece."""
        if self.lost:
            return None
        if self.code is not None:
            if not piece.control:  # nothing may be said any more (RFC 6455, 5.5.1)
                self.lost = "broken_frame"
            return None
        if piece.opcode == CLOSE:
            self.code = close_code(piece.raw)
        if piece.control:
            if piece.opcode not in (CLOSE, PING, PONG):
                self.lost = "broken_frame"
            return None
        if self._frames and _says_nothing(piece):
            self._count(piece)
            return None
        raw = self._as_binary(piece)
        try:
            for start in range(0, len(raw), _STEP):
                step = raw[start : start + _STEP]
                self._connection.receive_data(step)
                self._take(len(step))
                if self._size > self._limit or self._budget < 0:
                    self.lost = "oversized_message"
                    break
        except Exception:  # whatever a peer's bytes can bring about in a library: the relay goes on
            self.lost = "broken_frame"
        self._count(piece)
        if self.lost:
            return None
        return self.so_far(piece.ends_message) if piece.ends_message else None

    def so_far(self, ended: bool = False) -> Message:
        """What has come of the current message."""
        whole = ended and self._size <= self._keep
        if ended:
            self._check(b"", ended)
        message = Message(bytes(self._kept), whole, self._sound)
        if ended:
            self._kept, self._size, self._frames = bytearray(), 0, 0
        return message

    def _as_binary(self, piece: Piece) -> bytes:
        if not piece.begins or piece.opcode not in (TEXT, BINARY):
            return piece.raw
        self._text, self._sound = piece.opcode == TEXT, True
        if not self._text:
            return piece.raw
        self._decoder.reset()
        return bytes((piece.raw[0] ^ TEXT ^ BINARY,)) + piece.raw[1:]

    def _check(self, data: bytes, ended: bool = False) -> None:
        if self._text and self._sound:
            try:
                self._decoder.decode(data, ended)
            except UnicodeDecodeError:
                self._sound = False

    def _count(self, piece: Piece) -> None:
        self._frames += piece.ends
        if self._frames > MOST_FRAMES:
            self.lost = self.lost or "too_many_frames"

    def _take(self, wire: int) -> None:
        """What `wire` bytes have become."""
        before = max(self._size, _FREE)
        for event in self._connection.events():
            if not isinstance(event, BytesMessage):
                raise ValueError("wsproto gave up")  # it says so by a close that nobody sent
            data = bytes(event.data)
            self._check(data)
            self._size += len(data)
            self._kept += data[: self._keep - len(self._kept)]
        self._budget = min(self._keep, self._budget + _MOST_PER_BYTE * wire) - max(0, self._size - before)


def _says_nothing(piece: Piece) -> bool:
    """A whole frame that goes on with a message, does not end it and adds nothing to it."""
    return piece.raw[0] == 0 and piece.begins and piece.ends and piece.raw[1] & 0x7F == 0


def _agreed(extensions: bytes) -> list[Extension]:
    """Raises ValueError for what is not permessage-deflate as RFC 7692 has it."""
    text = extensions.decode("latin-1").strip()
    if not text:
        return []
    name = text.partition(";")[0].strip().lower()
    if name != PerMessageDeflate.name or "," in text:
        raise ValueError(text)
    deflate = PerMessageDeflate()
    # A window of 256 bytes, which zlib cannot have, is read as well with one of 512.
    deflate.finalize(text.replace('"', "").replace("window_bits=8", "window_bits=9"))
    return [deflate]
