"""Claude Code's `metadata.user_id`: an account and a session in one field, in two forms it has had. Pure.

Old: `user_<hash>_account_<uuid>_session_<uuid>`. New: a JSON object as a string, with `session_id` and `account_uuid`
or `device_id`. Seen on the wire of claude-code 2.1.
"""

import re
from typing import NamedTuple

import msgspec

PACKED_FIELD = "metadata.user_id"
_OLD = re.compile(r"user_(?P<device>[0-9a-f]+)_account_(?P<account>[0-9a-f-]*)_session_(?P<session>[0-9a-f-]+)")


class Packed(NamedTuple):
    user: str | None = None
    session: str | None = None


class _New(msgspec.Struct):
    session_id: str | None = None
    account_uuid: str | None = None
    device_id: str | None = None


_decode = msgspec.json.Decoder(_New).decode
NOT_PACKED = Packed()


def unpacked(user_id: str) -> Packed:
    """The parts; nothing where it is not packed: an ordinary user id, which never names a session."""
    if user_id[:1] == "{":
        try:
            new = _decode(user_id)
        except msgspec.MsgspecError:
            return NOT_PACKED
        return Packed(new.account_uuid or new.device_id, new.session_id)
    old = _OLD.fullmatch(user_id)
    if old is None:
        return NOT_PACKED
    return Packed(old["account"] or old["device"], old["session"])
