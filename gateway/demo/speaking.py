"""From a WebSocket's handshake to who speaks on it, or to the answer that refuses it. Pure."""

from hashlib import blake2b
from urllib.parse import parse_qs

from gateway.demo.answering import error_answer
from gateway.demo.behaviour import behaviour_of
from gateway.demo.delivery import Answer
from gateway.demo.realtime import RealtimeSpeaker
from gateway.demo.responses_socket import ResponsesSpeaker
from gateway.demo.websocket import Speaker


def speaker_for(target: str, key: str) -> Speaker | Answer:
    """`key`: the handshake's, new for each connection; ids are made of it."""
    seed = blake2b(target.encode() + b"\n" + key.encode(), digest_size=12).hexdigest()
    path, _, query = target.partition("?")
    if path.endswith("/responses"):
        return ResponsesSpeaker(target)
    if not path.endswith("/realtime"):
        return error_answer(404, f"Nothing is spoken at {path}.", seed)
    model = (parse_qs(query).get("model") or ["demo"])[0]
    try:
        behaviour = behaviour_of(model)
    except LookupError:
        return error_answer(404, f"The model `{model}` does not exist or you do not have access to it.", seed)
    if behaviour.error:
        return error_answer(behaviour.error, f"The built-in model answers {behaviour.error}.", seed)
    return RealtimeSpeaker(model, behaviour, seed)
