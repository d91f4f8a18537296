"""Card numbers and IBANs: candidates checked by issuer, length, checksum and surroundings."""

import re
from collections.abc import Iterator

from stdnum import iban

from gateway.policy.detectors.shape import Place, Shape

# Where an issuer's range may begin and the groups are of a card's lengths: all that C can sort out. A run of digits
# that ends in a word or a decimal number is sorted out later.
_CARD = re.compile(
    r"(?<!\w)(?<![0-9]\.)(?=4|5[0-5]|2[2-7]|3[04-9]|6[0-7])"
    r"(?:[0-9]{13,19}|[0-9]{4,6}(?: [0-9]{3,6}){2,4}|[0-9]{4,6}(?:-[0-9]{3,6}){2,4})(?!\w)"
)
_FIGURES = bytes.maketrans(b"0123456789", bytes(range(10)))
_DOUBLED = bytes.maketrans(bytes(range(10)), bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))
_DIGIT_RUN = re.compile(r"[0-9]+(?:[ -][0-9]+)*")
_WITHOUT_SEPARATORS = str.maketrans("", "", " -")
_LETTERS_AS_NUMBERS = str.maketrans({chr(base + n): str(10 + n) for base in (65, 97) for n in range(26)})

# Issuer identification ranges as the card schemes publish them: first and last prefix, lengths.
_CARD_ISSUERS: tuple[tuple[str, str, frozenset[int]], ...] = (
    ("4", "4", frozenset({16, 19})),  # Visa; its cards of 13 digits are gone, EANs of 13 are not
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
# Letters and digits are asked for first: a text has many words and few of them look so. (14 ns a character.)
_IBAN_START = re.compile(
    rf"(?<![A-Za-z0-9])(?=[A-Za-z]{{2}}[0-9]{{2}})((?i:{'|'.join(sorted(_IBAN_LENGTHS))}))[0-9]{{2}}", re.ASCII
)


def card_places(text: str) -> Iterator[Place | None]:
    """Card numbers, written in one piece or in groups of four to six digits. None for each of the wrong checksum."""
    position = run_end = 0
    torn = False
    while (candidate := _CARD.search(text, position)) is not None:
        start = candidate.start()
        if start >= run_end:
            run_start, run_end = _run_around(text, run_end, start)
            torn = _continues(text, run_start, run_end)
        length = 0 if torn else _card_length(candidate[0])
        yield (start, start + length) if length else None
        # Past the card, past the run that cannot hold one, or to the next group of digits.
        position = run_end if torn else start + (length or 1)


def _run_around(text: str, after: int, at: int) -> Place:
    """The whole run of digits, blanks and hyphens that `at` is in; it begins no sooner than `after`."""
    begin = after + len(text[after:at].rstrip("0123456789 -"))
    return next(run.span() for run in _DIGIT_RUN.finditer(text, begin) if run.end() > at)


def _continues(text: str, start: int, end: int) -> bool:
    """Whether the run is part of a longer word or of a decimal number."""
    before, after = text[start - 1 : start], text[end : end + 1]
    if before.isalnum() or before == "_" or after.isalnum() or after == "_":
        return True
    fraction = before == "." and text[start - 2 : start - 1].isdigit()
    return fraction or (after == "." and text[end + 1 : end + 2].isdigit())


def _card_length(written: str) -> int:
    """How much of what is written, from its beginning, is a card: whole groups; 0 where none is."""
    digits = ""
    length = -1
    for group in written.replace("-", " ").split(" "):
        digits += group
        length += 1 + len(group)
        if _is_card(digits):
            return length
        if len(group) < 4:
            return 0  # only the last group may be that short
    return 0


def _is_card(digits: str) -> bool:
    return 13 <= len(digits) <= 19 and _luhn_valid(digits) and _known_issuer(digits)


def _luhn_valid(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B. A tenth of what the library takes."""
    figures = digits.encode().translate(_FIGURES)
    return (sum(figures[-1::-2]) + sum(figures[-2::-2].translate(_DOUBLED))) % 10 == 0


def _known_issuer(digits: str) -> bool:
    return any(
        first <= digits[: len(first)] <= last and len(digits) in lengths for first, last, lengths in _CARD_ISSUERS
    )


def iban_places(text: str) -> Iterator[Place | None]:
    """IBANs of the length their country has, with or without blanks between groups, checksum right; else None."""
    position = 0
    while (match := _IBAN_START.search(text, position)) is not None:
        end = _iban_end(text, match.start(), _IBAN_LENGTHS[match[1].upper()])
        yield (match.start(), end) if end else None
        position = end or match.end()


def _iban_end(text: str, start: int, length: int) -> int:
    """Where the IBAN that starts here ends; 0 where there is none."""
    window = text[start : start + length + length // 4 + 1]
    number = window.translate(_WITHOUT_SEPARATORS)[:length]
    if len(number) < length or not _right_checksum(number) or not iban.is_valid(number):
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


PAYMENTS = (
    Shape("entity:credit_card", r"\b[2-6][0-9]{3}(?:[ -]?[0-9]){9,15}\b", find=card_places),
    Shape("entity:iban", r"\b[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,29}\b", ignore_case=True, find=iban_places),
)
