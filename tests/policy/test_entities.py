"""Numbers of people, companies and money: each valid one where it is told, and what only looks like one."""

from collections.abc import Iterable

import pytest

from gateway.policy.compile import Scanner
from gateway.policy.detectors.entities import ENTITIES
from gateway.policy.detectors.shape import Place

TOLD = {
    "us_ssn": ("SSN 111223333", "111223333"),
    "us_itin": ("my ITIN: 912-90-3456", "912-90-3456"),
    "us_ein": ("FEIN 91-1144442", "91-1144442"),
    "us_routing_number": ("routing number 111000025", "111000025"),
    "ca_sin": ("social insurance number 123-456-782", "123-456-782"),
    "mx_curp": ("curp: boxw310820hnerxn09", "boxw310820hnerxn09"),
    "mx_rfc": ("RFC GODE561231GR8", "GODE561231GR8"),
    "br_cpf": ("CPF 39053344705", "39053344705"),
    "br_cnpj": ("CNPJ 16727230000197", "16727230000197"),
    "ar_cuit": ("CUIT 20-05536168-2", "20-05536168-2"),
    "cl_rut": ("RUT 76086428-5", "76086428-5"),
    "co_nit": ("NIT 213.123.432-1", "213.123.432-1"),
    "uk_nino": ("National Insurance number is AB123456C", "AB123456C"),
    "uk_nhs_number": ("NHS no. 943 476 5870", "943 476 5870"),
    "uk_utr": ("UTR: 19558 39661", "19558 39661"),
    "de_tax_id": ("Steuer-ID 36 574 261 809", "36 574 261 809"),
    "fr_nir": ("n\u00b0 de s\u00e9curit\u00e9 sociale 2 95 10 99 126 111 93", "2 95 10 99 126 111 93"),
    "fr_siren": ("SIREN 552 008 443", "552 008 443"),
    "es_dni": ("mi DNI es 54362315-K", "54362315-K"),
    "es_nie": ("NIE X-2482300W", "X-2482300W"),
    "it_codice_fiscale": ("codice fiscale RCCMNL83S18D969H", "RCCMNL83S18D969H"),
    "it_partita_iva": ("partita IVA 00743110157", "00743110157"),
    "nl_bsn": ("BSN 111222333", "111222333"),
    "be_national_number": ("rijksregisternummer 85.07.30-033 28", "85.07.30-033 28"),
    "pl_pesel": ("PESEL 44051401359", "44051401359"),
    "pl_nip": ("NIP 856-734-62-15", "856-734-62-15"),
    "pt_nif": ("contribuinte 501 964 843", "501 964 843"),
    "se_personnummer": ("personnummer 880320-0016", "880320-0016"),
    "fi_hetu": ("hetu 131052-308T", "131052-308T"),
    "dk_cpr": ("CPR-nr 211062-5629", "211062-5629"),
    "no_fodselsnummer": ("f\u00f8dselsnummer 151086 95088", "151086 95088"),
    "ch_ahv": ("AHV 7569217076985", "7569217076985"),
    "at_svnr": ("SVNR 1237 010180", "1237 010180"),
    "cz_rodne_cislo": ("rodn\u00e9 \u010d\u00edslo 710319/2745", "710319/2745"),
    "ro_cnp": ("CNP 1630615123457", "1630615123457"),
    "gr_amka": ("AMKA 01013099997", "01013099997"),
    "bg_egn": ("EGN 8032056031", "8032056031"),
    "hr_oib": ("OIB 33392005961", "33392005961"),
    "ie_pps": ("PPS number 6433435F", "6433435F"),
    "ee_isikukood": ("isikukood 36805280109", "36805280109"),
    "ru_inn": ("\u0418\u041d\u041d 123456789047", "123456789047"),
    "tr_tckn": ("TCKN 17291716060", "17291716060"),
    "eu_vat": ("our VAT is BE697449992", "BE697449992"),
    "in_aadhaar": ("Aadhaar 2341 2341 2346", "2341 2341 2346"),
    "in_pan": ("PAN: ACUPA7085R", "ACUPA7085R"),
    "cn_resident_id": ("\u8eab\u4efd\u8bc1 360426199101010071", "360426199101010071"),
    "jp_my_number": ("my number 6214 9832 0257", "6214 9832 0257"),
    "kr_rrn": ("\uc8fc\ubbfc\ub4f1\ub85d\ubc88\ud638 971013-1019901", "971013-1019901"),
    "id_nik": ("NIK 3171011708450001", "3171011708450001"),
    "my_nric": ("NRIC 770305-02-1234", "770305-02-1234"),
    "pk_cnic": ("CNIC 34201-0891231-8", "34201-0891231-8"),
    "th_pin": ("Thai ID 1-2345-45678-78-1", "1-2345-45678-78-1"),
    "il_id": ("Teudat Zehut 039337423", "039337423"),
    "za_id": ("SA ID 7503305044089", "7503305044089"),
    "au_tfn": ("TFN 123 456 782", "123 456 782"),
    "nz_ird": ("IRD 49-098-576", "49-098-576"),
    "bic": ("BIC DEUTDEFF500", "DEUTDEFF500"),
    "imei": ("IMEI 354178036859789", "354178036859789"),
    "passport": ("L898902C36UTO7408122F1204159ZE184226B<<<<<10", "L898902C36UTO7408122F1204159ZE184226B<<<<<10"),
    "credit_card": ("4111 1111 1111 1111", "4111 1111 1111 1111"),
    "iban": ("DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 00"),
    "email": ("ada.lovelace@acme.dev", "ada.lovelace@acme.dev"),
    "phone": ("call me on 415-867-5309", "415-867-5309"),
    "ip_address": ("from 203.0.114.200 again", "203.0.114.200"),
    "mac_address": ("00:1A:2B:3C:4D:5E", "00:1A:2B:3C:4D:5E"),
    "crypto_wallet": ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
}
UNCHECKED = frozenset({"uk_nino", "bic", "dk_cpr", "id_nik", "in_pan", "mx_rfc", "my_nric", "pk_cnic"}) | {
    "us_ein",
    "us_itin",
    "us_ssn",
    "email",
    "phone",
    "ip_address",
    "mac_address",
}
"""They have no check digit: many another number is as good."""


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    return Scanner([*ENTITIES.values()])


def seen(scanner: Scanner, name: str, text: str) -> set[str]:
    index = [*ENTITIES].index(name)
    found: set[str] = set()
    for reading, shapes in scanner.noticed(text):
        places: Iterable[Place] = scanner.places_in(index, reading).places if index in shapes else ()
        found |= {text[start:end] for start, end in reading.written_at(places)}
    return found


def test_every_entity_has_an_example() -> None:
    assert set(TOLD) == set(ENTITIES)


@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("frame", ["{}", "h\u00e4ufig: {}.", '{{"note": "{}"}}', "line\n{}\nline"])
def test_an_entity_is_seen_wherever_it_stands(scanner: Scanner, name: str, frame: str) -> None:
    text, written = TOLD[name]
    assert seen(scanner, name, frame.format(text)) == {written}


@pytest.mark.parametrize("name", sorted(set(TOLD) - UNCHECKED))
def test_one_digit_wrong_is_another_number(scanner: Scanner, name: str) -> None:
    """Check digits, dates or ranges say no to at least half of what is one digit off."""
    text, written = TOLD[name]
    at = text.index(written)
    wrong = [
        text[: at + n] + str(digit) + text[at + n + 1 :]
        for n, character in enumerate(written)
        if character.isascii() and character.isdigit()
        for digit in range(10)
        if str(digit) != character
    ]
    accepted = [each for each in wrong if seen(scanner, name, each)]
    assert len(accepted) <= len(wrong) / 2, accepted[:3]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("us_ssn", "111223333 is a nine-digit number"),
        ("us_ssn", "part no. 536-90-4399"),
        ("us_ssn", "SSN 666-12-3456, SSN 000-12-3456"),
        ("us_ein", "version 91-1144442"),
        ("nl_bsn", "order 111222333 of 111222333"),
        ("pl_pesel", "id 44051401359"),
        ("br_cpf", "39053344705"),
        ("uk_nhs_number", "call 943 476 5870"),
        ("bic", "SWIFT ACCOUNTS, bic transfer"),
        ("bic", "DEUTDEFF"),
        ("in_pan", "license ACUPA7085R"),
        ("mx_rfc", "see RFC 9110, RFC 7231 and 561231"),
        ("imei", "354178036859789"),
        ("passport", "L898902C36UTO7408122F1204159ZE184226B<<<<<11"),
        ("ip_address", "10.1.2.200, 192.168.1.100, 127.0.0.1, 203.0.113.77, 300.1.2.3"),
        ("ip_address", "version 120.0.99.109, v1.2.3.4, 2.14.3.1, 120.0.6099.109"),
        ("ip_address", "12:30:45, std::vector, fe80::1, a::b"),
        ("mac_address", "00:1A:2B:3C:4D:5E:6F:70 and FF:FF:FF:FF:FF:FF"),
        ("crypto_wallet", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"),
        ("crypto_wallet", "commit 0x52908400098527886E0F7030069857D2E4169EE7"),
        ("phone", "415-867-5309 and 1-800-55 and 2026-11-25"),
        ("phone", "+1 555 0100 is short, +999 123456789 is nowhere"),
        ("phone", "pi is 3.14159265358979"),
    ],
)
def test_what_only_looks_like_one_is_left_alone(scanner: Scanner, name: str, text: str) -> None:
    assert seen(scanner, name, text) == set()


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("+49 30 901820", {"+49 30 901820"}),
        ("+49(0)30 901820", {"+49(0)30 901820"}),
        ("(415) 867-5309 or 415 867 5309", {"(415) 867-5309"}),
        ("Telefon 030/901820", {"030/901820"}),
        ("t\u00e9l\u00e9phone : 06 12 34 56 78", {"06 12 34 56 78"}),
        ("\u0442\u0435\u043b\u0435\u0444\u043e\u043d +7 495 123-45-67", {"+7 495 123-45-67"}),
        ("\u624b\u673a\u53f7 +86 139 1099 8888", {"+86 139 1099 8888"}),
        ("Tel. 0041 44 668 18 00", {"0041 44 668 18 00"}),
        ("mobile: 98765 43210", {"98765 43210"}),
    ],
)
def test_phones(scanner: Scanner, text: str, numbers: set[str]) -> None:
    assert seen(scanner, "phone", text) == numbers


def test_one_word_tells_a_list(scanner: Scanner) -> None:
    numbers = ["536-90-4399", "111-22-3333", "219-09-9998", "078-05-1121"]
    assert seen(scanner, "us_ssn", "SSNs:\n" + "\n".join(number.replace("-", " ") for number in numbers)) == {
        number.replace("-", " ") for number in numbers
    }


@pytest.mark.parametrize("name", sorted(ENTITIES))
def test_a_flood_of_candidates_comes_to_an_end(name: str) -> None:
    text, written = TOLD[name]
    scanner = Scanner([ENTITIES[name]])
    places, _ = scanner.places(0, (text.replace(written, written[:-1] + "!") + " " + "1234567890 " * 9) * 3_000)
    assert len(places) <= 1000
