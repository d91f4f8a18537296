"""Phone numbers that can be dialled, by the numbering plans of all countries (phonenumbers)."""

import re
from collections.abc import Iterator

import phonenumbers

from gateway.policy.detectors.context import BEFORE, noticed_by, told, told_by
from gateway.policy.detectors.shape import Place, Shape

_CANDIDATE = re.compile(
    r"(?<![\w.,/+-])(?:\+ ?(?=[1-9(]))?\(?[0-9](?:[ ().\-/\u2011]{0,3}[0-9]){6,14}(?![\w+]|[.,-]?[0-9])"
)
_NORTH_AMERICAN = re.compile(r"\([0-9]{3}\) ?[0-9]{3}[-. ][0-9]{4}")
_BARE_WITHIN = 16
"""Characters before a number without any gaps in which the word must stand."""
_WORDS = (
    r"(?:tele)?phone|tel|mobile|cell|call|dial|text me|sms|whatsapp|fax|reach me|reach (?:him|her|us)|ring me"
    r"|telefon|telefonnummer|handy|handynummer|rufnummer|mobil|anrufen|ruf|telefono|movil|llam[ae]\w{0,5}|celular"
    r"|portable|appel\w{0,4}|joindre|cellulare|chiam\w{0,5}|telefone|telemovel|ligue|telefoon|bel|komorka|zadzwon"
    r"|puhelin|telefonnumer|phone number|numero"
)
_TELLING = told_by(_WORDS + r"|номер|телефон\w{0,3}|电话|手机|電話|携帯|전화")
_WITH_ZERO = ("GB", "DE", "FR", "AU", "JP", "NL", "CH", "SE")
_WITHOUT_ZERO = ("US", "ES", "IN", "BR", "PL", "IT", "DK", "NO", "PT")


def phone_places(text: str) -> Iterator[Place | None]:
    """Numbers with a country code, American ones with the area in brackets, others where a word says it is one.

    A number costs some twenty microseconds a country that it is tried in, so each counts as a candidate.
    """
    for match in _CANDIDATE.finditer(text):
        start, end = match.span()
        written = match[0]
        if written.startswith("+"):
            yield (start, end) if _valid(written, None) else None
        elif _NORTH_AMERICAN.fullmatch(written):
            yield (start, end) if _valid(written, "US") else None
        elif told(_TELLING, text, start, _BARE_WITHIN if written.isdigit() else BEFORE):
            for country in _WITH_ZERO if written.lstrip("(").startswith("0") else _WITHOUT_ZERO:
                if _valid(written, country):
                    yield start, end
                    break
                yield None
        else:
            yield None


def _valid(written: str, country: str | None) -> bool:
    if written.lstrip("(").startswith("00"):
        written, country = "+" + written.lstrip("(0"), None
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(written.replace("/", " "), country))
    except phonenumbers.NumberParseException:
        return False


PHONES = (
    Shape(
        "entity:phone",
        r"\+ ?[1-9(][0-9 ().-]{6}|\([2-9][0-9]{2}\) ?[2-9][0-9]{2}[-. ][0-9]{4}|"
        + noticed_by(_WORDS)
        + "[0-9 ()./-]{5}|(?:номер|телефон|电话|手机|電話|携帯|전화)[^0-9]*[0-9]{2}",
        ignore_case=True,
        find=phone_places,
    ),
)
