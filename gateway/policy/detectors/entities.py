"""Card numbers, IBANs and e-mail addresses: candidates checked by issuer, length, checksum and surroundings."""

import re
from collections.abc import Iterator

from stdnum import iban, luhn

from gateway.policy.detectors.shape import Place, Shape

_DIGIT_RUN = re.compile(r"[0-9]+(?:[ -][0-9]+)*")
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{2})[0-9]{2}")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])")
_LOCAL_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-"
_WITHOUT_SEPARATORS = str.maketrans("", "", " -")
_LETTERS_AS_NUMBERS = str.maketrans({chr(base + n): str(10 + n) for base in (65, 97) for n in range(26)})
_FILE_ENDINGS = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "ts", "json", "html"})

# Issuer identification ranges as the card schemes publish them: first and last prefix, lengths.
_CARD_ISSUERS: tuple[tuple[str, str, frozenset[int]], ...] = (
    ("4", "4", frozenset({13, 16, 19})),  # Visa
    ("51", "55", frozenset({16})),  # Mastercard
    ("2221", "2720", frozenset({16})),  # Mastercard
    ("34", "34", frozenset({15})),  # American Express
    ("37", "37", frozenset({15})),
    ("6011", "6011", frozenset({16, 19})),  # Discover
    ("644", "649", frozenset({16, 19})),
    ("65", "65", frozenset({16, 19})),
    ("300", "305", frozenset({14})),  # Diners Club
    ("36", "36", frozenset({14})),
    ("38", "39", frozenset({14})),
    ("3528", "3589", frozenset({16, 19})),  # JCB
    ("62", "62", frozenset({16, 17, 18, 19})),  # UnionPay
    ("6759", "6759", frozenset({16, 18, 19})),  # Maestro
    ("6761", "6763", frozenset({16, 18, 19})),
    ("5018", "5018", frozenset({16, 18, 19})),
    ("5020", "5020", frozenset({16, 18, 19})),
    ("5038", "5038", frozenset({16, 18, 19})),
    ("6304", "6304", frozenset({16, 18, 19})),
)
# Lengths as the IBAN registry (ISO 13616) gives them.
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL FK SD", 19: "MK SI", 20: "AT BA EE KZ LT LU XK MN",
        21: "CH CR HR LI LV", 22: "BG BH DE GB GE IE ME RS VA", 23: "AE GI IL IQ TL OM SO",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip


def card_places(text: str) -> Iterator[Place]:
    """Card numbers, written in one piece or in groups of four to six digits."""
    for run in _DIGIT_RUN.finditer(text):
        if run.end() - run.start() >= 13 and not _continues(text, *run.span()):
            yield from _cards_in(text, run.start(), run.end())


def _continues(text: str, start: int, end: int) -> bool:
    """Whether the run is part of a longer word or of a decimal number."""
    before, after = text[start - 1 : start], text[end : end + 1]
    if before.isalnum() or before == "_" or after.isalnum() or after == "_":
        return True
    fraction = before == "." and text[start - 2 : start - 1].isdigit()
    return fraction or (after == "." and text[end + 1 : end + 2].isdigit())


def _cards_in(text: str, start: int, end: int) -> Iterator[Place]:
    groups = [(start + m.start(), start + m.end()) for m in re.finditer(r"[0-9]+", text[start:end])]
    first = 0
    while first < len(groups):
        # A card is one group, or at most five alike separated ones: each start costs a bounded number of tries.
        for last in range(first, min(first + 5, len(groups))):
            place = groups[first][0], groups[last][1]
            if _is_card(text[place[0] : place[1]]):
                yield place
                first = last
                break
        first += 1


def _is_card(written: str) -> bool:
    digits = written.replace(" ", "").replace("-", "")
    if not 13 <= len(digits) <= 19 or (" " in written and "-" in written):
        return False
    groups = written.replace("-", " ").split(" ")
    if len(groups) > 1 and not (all(4 <= len(g) <= 6 for g in groups[:-1]) and 3 <= len(groups[-1]) <= 6):
        return False
    return _known_issuer(digits) and bool(luhn.is_valid(digits))


def _known_issuer(digits: str) -> bool:
    return any(
        first <= digits[: len(first)] <= last and len(digits) in lengths for first, last, lengths in _CARD_ISSUERS
    )


def iban_places(text: str) -> Iterator[Place]:
    """IBANs of the length their country has, with or without blanks between groups, checksum right."""
    position = 0
    while (match := _IBAN_START.search(text, position)) is not None:
        end = _iban_end(text, match.start(), _IBAN_LENGTHS.get(match[1].upper(), 0))
        if end:
            yield match.start(), end
        position = end or match.end()


def _iban_end(text: str, start: int, length: int) -> int:
    """Where the IBAN that starts here ends; 0 where there is none."""
    window = text[start : start + length + length // 4 + 1]
    number = window.translate(_WITHOUT_SEPARATORS)[:length]
    if not length or len(number) < length or not _right_checksum(number) or not iban.is_valid(number):
        return 0
    at = taken = 0
    while taken < length:
        taken += window[at] not in " -"
        at += 1
    return 0 if text[start + at : start + at + 1].isalnum() else start + at


def _right_checksum(number: str) -> bool:
    """ISO 7064, mod 97-10. Asked before the library, which takes ten times as long to say no."""
    if not (number.isascii() and number.isalnum()):
        return False
    return int((number[4:] + number[:4]).translate(_LETTERS_AS_NUMBERS)) % 97 == 1


def email_places(text: str) -> Iterator[Place]:
    """E-mail addresses; not SSH remotes, passwords in URLs, `icon@2x.png`."""
    at = text.find("@")
    done = 0
    while at >= 0:
        place = _email_around(text, at, done)
        if place is not None:
            yield place
            done = place[1]
        at = text.find("@", max(at + 1, done))


def _email_around(text: str, at: int, done: int) -> Place | None:
    head = text[max(done, at - 64) : at]
    local = head[len(head.rstrip(_LOCAL_CHARACTERS)) :].lstrip(".-%+")
    domain = _DOMAIN.match(text, at + 1)
    if not local or domain is None or domain[0].rpartition(".")[2].lower() in _FILE_ENDINGS:
        return None
    start = at - len(local)
    if local == "git" and text[domain.end() : domain.end() + 1] in (":", "/"):
        return None
    if "://" in re.split(r"[\s\"'<>]", text[max(0, start - 200) : start])[-1]:
        return None  # user and password of a URL
    return start, domain.end()


ENTITIES: dict[str, Shape] = {
    shape.name.partition(":")[2]: shape
    for shape in (
        Shape("entity:credit_card", r"\b[2-6][0-9]{3}(?:[ -]?[0-9]){9,15}\b", find=card_places),
        Shape("entity:iban", r"\b[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,29}\b", ignore_case=True, find=iban_places),
        Shape("entity:email", r"[A-Z0-9_%+-]@[A-Z0-9][A-Z0-9.-]{0,100}\.[A-Z]{2}", ignore_case=True, find=email_places),
    )
}
