"""The words the built-in model answers with. Repeats no long numbers: a demo must not spread what looks like a card."""

import re

_ANSWERS: tuple[tuple[str, str], ...] = (
    (r"\b(thanks|thank you|bye)\b", "You are welcome. Ask again whenever something comes up."),
    (
        r"\b(hello|hi|hey)\b",
        "Hello! I am the built-in model of spangate. Ask me something, or point a real client here.",
    ),
    (
        r"\b(card|iban|refund|invoice)\b",
        "I can help with that payment. Please send no card numbers here: the last four digits are enough.",
    ),
    (
        r"\b(weather|rain|sunny|forecast)\b",
        "Mild and mostly dry today, with some wind from the west in the afternoon. Take a light jacket.",
    ),
    (
        r"\b(session|sessions)\b",
        "A session is one complete conversation: every call that belongs together, in order, whoever made it.",
    ),
    (
        r"\b(trace|span|opentelemetry|otlp)\b",
        "Each call to a model becomes one span. Its session, tokens and outcome come first, its content last.",
    ),
    (
        r"\b(code|python|function|bug|test)\b",
        "Start with the smallest case that fails, write it down as a test, and change one thing at a time.",
    ),
    (
        r"\b(write|poem|haiku|story)\b",
        "Quiet wires at dusk, a question crosses the gate, its answer returns.",
    ),
    (
        r"\b(plan|trip|travel|visit)\b",
        "Keep the first day free of plans, see the old town on foot, and leave the museum for the afternoon it rains.",
    ),
)
_FILLER = "Then again, a long answer is only there to fill the stream, one word after another, until there are enough. "


def answer_to(said: str) -> str:
    lowered = said.lower()
    for pattern, answer in _ANSWERS:
        if re.search(pattern, lowered):
            return answer
    return f"About “{_gist(said)}”: it depends on what you need most. Tell me a little more, and I will be specific."


def answer_with(tool: str, result: str) -> str:
    """The answer once a tool has said something."""
    source = f"The tool {tool}" if tool else "The tool"
    return f"{source} says: {_gist(result, 200)}. That should answer your question."


def thought_about(said: str) -> str:
    return f"The question is about “{_gist(said)}”. A short and friendly answer fits best, without repeating details."


def lengthened(text: str, words: int) -> str:
    missing = words - len(text.split())
    if missing <= 0:
        return text
    filler = _FILLER.split()
    return " ".join([text, *(filler[index % len(filler)] for index in range(missing))])


def _gist(text: str, limit: int = 60) -> str:
    kept = " ".join(re.sub(r"\d{4,}", "…", text).split())
    return kept if len(kept) <= limit else kept[:limit].rsplit(" ", 1)[0] + " …"
