"""Characters that look like ASCII ones, and what they are taken for. Data and one look-up; reads no text.

From Unicode's confusables (https://www.unicode.org/Public/security/latest/confusables.txt, UTS #39): letters of the
Basic Multilingual Plane that stand alone for a letter of ASCII and that NFKC leaves as they are. Besides them what
people use all the same: letters with a stroke, small capitals, Cyrillic and Greek letters of the shape of a capital.
"""

from functools import lru_cache
from unicodedata import category, decimal, normalize

_LOOKALIKES = {
    "a": "ɑαаᴀⱥ",
    "b": "ƀƄʙЬвᏏᑲᖯ",
    "c": "ȼсᴄⲥꮯ",
    "d": "ðđԁᏧᑯᴅꓒ",
    "e": "ɇεеєҽᴇꬲ",
    "f": "քẝꜰꞙꬵ",
    "g": "ƍǥɡɢցᶃ",
    "h": "ħʜнһհᏂ",
    "i": "ıɨɩɪιіӏᎥꙇꭵ",
    "j": "ɉϳјᴊ",
    "k": "κкᴋꝁ",
    "l": "łƚǀɫʟᛁⵏꓲ",
    "m": "мᴍ",
    "n": "ɴηոռꞥ",
    "o": "øɵοσоօഠဝჿᴏᴑⲟꬽ",
    "p": "ρрᴘᵽⲣ",
    "q": "ǫԛգզ",
    "r": "ɍʀгᴦⲅꭇꭈꮁ",
    "s": "ƽѕꜱꞩꮪ",
    "t": "ŧτтᴛ",
    "u": "ʉʋυսᴜꞟꭎꭒ",
    "v": "νѵᴠꮩ",
    "w": "ɯωѡԝաᴡꮃ",
    "x": "χхᕁᕽ",
    "y": "ɏɣʏγуүყᶌỿꭚ",
    "z": "ƶᴢꮓ",
    "A": "ȺΑАᎪᗅꓮ",
    "B": "ɃΒВᏴᗷꓐꞴ",
    "C": "ȻСᏟⲤꓚ",
    "D": "ÐĐᎠᗞᗪꓓ",
    "E": "ɆΕЕᎬⴹꓰ",
    "F": "ϜᖴꓝꞘ",
    "G": "ǤԌᏀᏳꓖ",
    "H": "ĦΗНᎻᕼⲎꓧ",
    "I": "ƖƗΙІӀⲒ",
    "J": "ɈͿЈᎫᒍꓙꞲ",
    "K": "ΚКᏦᛕⲔꓗꝀ",
    "L": "ŁȽᏞᒪⱢⳐꓡ",
    "M": "ΜϺМᎷᗰᛖⲘꓟ",
    "N": "ΝⲚꓠꞤ",
    "O": "ØƟΟОՕଠዐⲞⵔꓳ",
    "P": "ΡРᏢᑭⱣⲢꓑ",
    "Q": "ⵕ",
    "R": "ƦɌᎡᏒᖇꓣ",
    "S": "ЅՏᏕᏚꓢꞨ",
    "T": "ŦΤТᎢⲦꓔ",
    "U": "ɄՍሀᑌꓴ",
    "V": "ѴᏙᐯⴸꓦꛟ",
    "W": "ԜᎳᏔꓪ",
    "X": "ΧХᚷⲬⵝꓫꞳ",
    "Y": "ɎΥУҮᎩᎽⲨꓬ",
    "Z": "ƵΖᏃꓜ",
    ".": "\u00b7\u2022\u2027\u2219\u22c5\u30fb\u25cf\u25e6",
    "-": "\u2010\u2012\u2013\u2014\u2015\u2212",
}
_TAKEN_FOR = {lookalike: letter for letter, lookalikes in _LOOKALIKES.items() for lookalike in lookalikes} | {
    # Letters in black circles and squares, and those that flags are made of.
    chr(first + number): chr(ord("A") + number)
    for first in (0x1F150, 0x1F170, 0x1F1E6)
    for number in range(26)
}
_MARKS = ((0x0300, 0x036F), (0x0483, 0x0489), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))
"""Blocks of marks that go on any letter: accents, strokes through it, rings around it."""
MASK = "_"
"""For a letter of another alphabet that looks like none of ASCII: part of a word, and of none that is looked for."""


def is_mark(character: str) -> bool:
    """Whether it goes on the letter before it, of any alphabet."""
    return any(first <= ord(character) <= last for first, last in _MARKS)


@lru_cache(maxsize=4096)
def taken_for(character: str) -> str:
    """The character of ASCII it is read as: "" for a mark, `MASK` for a letter that is none; else it stays.

    A letter with marks is the letter, a digit of any script its value. Of a script without capitals letters stay: words
    in ASCII stand beside them without a blank.
    """
    if character.isascii():
        return character
    if is_mark(character):
        return ""
    value = decimal(character, None)
    if value is not None:
        return str(value)
    base = normalize("NFKD", character)[0]
    letter = _TAKEN_FOR.get(character) or _TAKEN_FOR.get(base) or base
    if letter.isascii():
        return letter
    return MASK if category(character) in ("Lu", "Ll", "Lt") else character
