"""Numbers that states and banks give to people and companies. Validated by python-stdnum: dates, regions, check digits.

Where check digits are few or the form is everybody's, a word must stand before it; else its own form is enough, unless
a word says that it is the number of a part, an order or the like.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import NamedTuple

from stdnum import bic

from gateway.policy.detectors.context import noticed_by, of_a_thing, told, told_by
from gateway.policy.detectors.shape import Place, Shape

_LIST_GAP = 24
"""Characters between two numbers of a list that one word tells."""


class Number(NamedTuple):
    name: str
    form: str
    """What Hyperscan and `re` both understand; letters are capitals in it, and may be small in a text."""
    checked_by: str
    """Module of python-stdnum; "" where its form is all there is to check."""
    words: str = ""
    """One of them must stand before it."""
    alone: str = ""
    """The form that is enough by itself."""


_NUMBERS = (
    # America
    Number("us_ssn", r"[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}", "us.ssn", r"ssn|social security|soc\.? ?sec",
           r"[0-9]{3}-[0-9]{2}-[0-9]{4}"),
    Number("us_itin", r"9[0-9]{2}[- ]?[0-9]{2}[- ]?[0-9]{4}", "us.itin", r"itin|taxpayer id\w*"),
    Number("us_ein", r"[0-9]{2}-[0-9]{7}", "us.ein", r"f?ein|employer id\w*|federal tax id"),
    Number("us_routing_number", r"[0-9]{9}", "us.rtn", r"routing|aba|rtn"),
    Number("ca_sin", r"[0-9]{3}[- ]?[0-9]{3}[- ]?[0-9]{3}", "ca.sin", r"social insurance|sin (?:is|no|number|card)"),
    Number("mx_curp", r"[A-Z][AEIOUX][A-Z]{2}[0-9]{6}[HM][A-Z]{5}[0-9A-Z][0-9]", "mx.curp", "curp",
           r"[A-Z][AEIOUX][A-Z]{2}[0-9]{6}[HM][A-Z]{5}[0-9A-Z][0-9]"),
    Number("mx_rfc", r"[A-Z&]{3,4}[- ]?[0-9]{6}[- ]?[A-Z0-9]{3}", "mx.rfc", r"rfc"),
    Number("br_cpf", r"[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}-?[0-9]{2}", "br.cpf", "cpf",
           r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}"),
    Number("br_cnpj", r"[0-9]{2}\.?[0-9]{3}\.?[0-9]{3}/?[0-9]{4}-?[0-9]{2}", "br.cnpj", "cnpj",
           r"[0-9]{2}\.[0-9]{3}\.[0-9]{3}/[0-9]{4}-[0-9]{2}"),
    Number("ar_cuit", r"[23][0347]-?[0-9]{8}-?[0-9]", "ar.cuit", r"cui[tl]"),
    Number("cl_rut", r"[0-9]{1,2}\.?[0-9]{3}\.?[0-9]{3}-[0-9K]", "cl.rut", r"rut|rol unico"),
    Number("co_nit", r"[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}-?[0-9]", "co.nit", "nit"),
    # Europe
    Number("uk_nino", r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]", "",
           r"nino|national insurance|ni (?:number|no)",
           r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] [0-9]{2} [0-9]{2} [0-9]{2} [A-D]"),
    Number("uk_nhs_number", r"[0-9]{3}[- ]?[0-9]{3}[- ]?[0-9]{4}", "gb.nhs", "nhs"),
    Number("uk_utr", r"[0-9]{5} ?[0-9]{5}", "gb.utr", r"utr|unique tax\w*|self[- ]assessment"),
    Number("de_tax_id", r"[1-9][0-9] ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}", "de.idnr",
           r"steuer-?id\w*|idnr|steuerliche\w* id\w*|identifikationsnummer|tax id\w*|tin"),
    Number("fr_nir", r"[12] ?[0-9]{2} ?[0-9]{2} ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}", "fr.nir",
           r"nir|securite sociale|numero de secu",
           r"[12] ?[0-9]{2} ?[01][0-9] ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}"),
    Number("fr_siren", r"[0-9]{3} ?[0-9]{3} ?[0-9]{3}", "fr.siren", "siren|rcs"),
    Number("es_dni", r"[0-9]{8}[- ]?[A-Z]", "es.dni", "dni|nif|documento nacional|documento de identidad"),
    Number("es_nie", r"[XYZ][- ]?[0-9]{7}[- ]?[A-Z]", "es.nie", "nie|nif|dni|extranjer[oa]"),
    Number("it_codice_fiscale", r"[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]",
           "it.codicefiscale", "codice fiscale", r"[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]"),
    Number("it_partita_iva", r"[0-9]{11}", "it.iva", r"partita iva|p\. ?iva"),
    Number("nl_bsn", r"[0-9]{3}[ .]?[0-9]{2,3}[ .]?[0-9]{3}", "nl.bsn", r"bsn|burgerservice\w*|sofi\w*"),
    Number("be_national_number", r"[0-9]{2}[. ]?[0-9]{2}[. ]?[0-9]{2}[- ]?[0-9]{3}[. ]?[0-9]{2}", "be.nn",
           r"rijksregister\w*|registre national|niss|insz|national number",
           r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}"),
    Number("pl_pesel", r"[0-9]{11}", "pl.pesel", "pesel"),
    Number("pl_nip", r"[0-9]{3}-?[0-9]{3}-?[0-9]{2}-?[0-9]{2}", "pl.nip", "nip"),
    Number("pt_nif", r"[0-9]{3} ?[0-9]{3} ?[0-9]{3}", "pt.nif", "nif|contribuinte|nipc"),
    Number("se_personnummer", r"(?:19|20)?[0-9]{6}[-+]?[0-9]{4}", "se.personnummer",
           "personnummer|personnr|samordningsnummer"),
    Number("fi_hetu", r"[0-9]{6}[-+A][0-9]{3}[0-9A-Y]", "fi.hetu", "hetu|henkilotunnus",
           r"[0-3][0-9][01][0-9]{3}[-A][0-9]{3}[0-9A-Y]"),
    Number("dk_cpr", r"[0-9]{6}-?[0-9]{4}", "dk.cpr", r"cpr|personnummer|cpr-nummer|cpr-nr"),
    Number("no_fodselsnummer", r"[0-9]{6} ?[0-9]{5}", "no.fodselsnummer", "fodselsnummer|personnummer|fnr"),
    Number("ch_ahv", r"756[. ]?[0-9]{4}[. ]?[0-9]{4}[. ]?[0-9]{2}", "ch.ssn", "ahv|avs",
           r"756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}"),
    Number("at_svnr", r"[0-9]{4} ?[0-9]{6}", "at.vnr", r"svnr|sozialversicherung\w*|sv-nummer|sv-nr|vsnr"),
    Number("cz_rodne_cislo", r"[0-9]{6}/?[0-9]{3,4}", "cz.rc", r"rodne cislo|r\. ?c\.|birth number"),
    Number("ro_cnp", r"[1-9][0-9]{12}", "ro.cnp", "cnp|cod numeric"),
    Number("gr_amka", r"[0-9]{11}", "gr.amka", "amka"),
    Number("bg_egn", r"[0-9]{10}", "bg.egn", "egn"),
    Number("hr_oib", r"[0-9]{11}", "hr.oib", "oib"),
    Number("ie_pps", r"[0-9]{7}[A-W][A-IW]?", "ie.pps", r"ppsn?|personal public service"),
    Number("ee_isikukood", r"[1-6][0-9]{10}", "ee.ik", "isikukood|asmens kodas"),
    Number("ru_inn", r"[0-9]{10}(?:[0-9]{2})?", "ru.inn", "inn|ИНН"),
    Number("tr_tckn", r"[1-9][0-9]{10}", "tr.tckimlik", r"tckn|t\.?c\.? ?kimlik|kimlik"),
    Number("eu_vat", r"[A-Z]{2} ?[0-9A-Z]{8,12}", "eu.vat",
           r"vat|ust-?id\w*|umsatzsteuer\w*|mwst|tva|iva|btw|moms|dph|vatin|vat-id"),
    # Asia, Africa, Oceania
    Number("in_aadhaar", r"[2-9][0-9]{3}[- ]?[0-9]{4}[- ]?[0-9]{4}", "in_.aadhaar", "aadhaa?r|uidai"),
    Number("in_pan", r"[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]", "in_.pan", "pan|permanent account|income tax"),
    Number("cn_resident_id", r"[0-9]{17}[0-9X]", "cn.ric", "身份证|resident id",
           r"[1-8][0-9]{5}(?:19|20)[0-9]{2}[01][0-9][0-3][0-9]{4}[0-9X]"),
    Number("jp_my_number", r"[0-9]{4}[- ]?[0-9]{4}[- ]?[0-9]{4}", "jp.in_",
           "my ?number|individual number|マイナンバー|個人番号"),
    Number("kr_rrn", r"[0-9]{6}-?[1-8][0-9]{6}", "kr.rrn", "rrn|resident registration|주민등록번호",
           r"[0-9]{2}[01][0-9][0-3][0-9]-[1-4][0-9]{6}"),
    Number("id_nik", r"[0-9]{16}", "id.nik", "nik|ktp"),
    Number("my_nric", r"[0-9]{6}-?[0-9]{2}-?[0-9]{4}", "my.nric", r"nric|my ?kad|kad pengenalan"),
    Number("pk_cnic", r"[0-9]{5}-?[0-9]{7}-?[0-9]", "pk.cnic", "cnic|nadra"),
    Number("th_pin", r"[0-9]-?[0-9]{4}-?[0-9]{5}-?[0-9]{2}-?[0-9]", "th.pin",
           "thai id|citizen id|national id|บัตรประชาชน"),
    Number("il_id", r"[0-9]{9}", "il.idnr", r"teudat zehut|israeli id|תעודת זהות"),
    Number("za_id", r"[0-9]{13}", "za.idnr", r"sa id|south african id|identity number|id number"),
    Number("au_tfn", r"[0-9]{3} ?[0-9]{3} ?[0-9]{2,3}", "au.tfn", "tfn|tax file"),
    Number("nz_ird", r"[0-9]{2,3}-?[0-9]{3}-?[0-9]{3}", "nz.ird", "ird"),
    # Everywhere
    Number("imei", r"[0-9]{2}-?[0-9]{6}-?[0-9]{6}-?[0-9]", "imei", "imei"),
)  # fmt: skip
_PASSPORT = re.compile(r"[A-Z0-9<]{9}[0-9][A-Z<]{3}[0-9]{6}[0-9][MFX<][0-9]{6}[0-9][A-Z0-9<]{14}[0-9<][0-9]")
_WEIGHTS = (7, 3, 1)
_BIC = re.compile(r"(?<!\w)[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?(?!\w)")
_BIC_WORDS = "bic|swift|bank identifier"


def number_places(
    text: str,
    written: re.Pattern[str],
    alone: re.Pattern[str] | None,
    words: re.Pattern[str],
    valid: Callable[[str], bool],
) -> Iterator[Place | None]:
    """Where such numbers are; None for each candidate that nothing tells, or that is not valid."""
    listed = -_LIST_GAP - 1
    position = 0
    while (match := written.search(text, position)) is not None:
        start, end = match.span()
        position = start + 1  # `is DE136695976` begins like a VAT number, and holds one
        meant = (
            start - listed <= _LIST_GAP
            or told(words, text, start)
            or (alone is not None and alone.fullmatch(match[0]) is not None and not of_a_thing(text, start))
        )
        if meant and valid(match[0].upper().replace(" ", "")):
            listed = position = end
            yield start, end
        else:
            yield None


def _shape(number: Number) -> Shape:
    find = partial(
        number_places,
        # Not a piece of a longer number or word.
        written=re.compile(rf"(?<!\w)(?<![0-9][.,/-])(?:{number.form})(?!\w|[.,/-][0-9])", re.IGNORECASE | re.ASCII),
        alone=re.compile(number.alone, re.IGNORECASE) if number.alone else None,
        words=told_by(number.words),
        valid=_validator(number.checked_by),
    )
    noticed = noticed_by(number.words.replace(r"\w", "[a-z]"))
    return Shape(
        f"entity:{number.name}",
        rf"\b(?-i:{number.alone})\b|{noticed}" if number.alone else noticed,
        ignore_case=True,
        find=find,
    )


def _validator(module: str) -> Callable[[str], bool]:
    valid: Callable[[str], bool] = import_module(f"stdnum.{module}").is_valid if module else bool
    return valid


def passport_places(text: str) -> Iterator[Place | None]:
    """The second line of a passport's machine-readable zone, by its four check digits (ICAO 9303, part 4)."""
    for match in _PASSPORT.finditer(text):
        line = match[0]
        checked = [(line[:9], line[9]), (line[13:19], line[19]), (line[21:27], line[27])]
        whole = line[:10] + line[13:20] + line[21:43]
        yield match.span() if all(_digit(part) == digit for part, digit in [*checked, (whole, line[43])]) else None


def _digit(part: str) -> str:
    values = (0 if c == "<" else int(c, 36) for c in part)
    return str(sum(value * _WEIGHTS[at % 3] for at, value in enumerate(values)) % 10)


def bic_places(text: str) -> Iterator[Place | None]:
    """Banks' codes (ISO 9362) behind a word that says so: eight capitals of a known country may be any word."""
    words = told_by(_BIC_WORDS)
    for match in _BIC.finditer(text):
        yield match.span() if told(words, text, match.start()) and bic.is_valid(match[0]) else None


IDENTITIES = (
    Shape("entity:bic", noticed_by(_BIC_WORDS, "[A-Z]{6}"), ignore_case=True, find=bic_places),
    Shape("entity:passport", _PASSPORT.pattern, find=passport_places),
    *map(_shape, _NUMBERS),
)
