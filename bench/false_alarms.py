"""How often data-protector speaks up about prompts that hold nothing to protect: `python -m bench.false_alarms`.

Prompts are made of templates that people's work is full of; what stands in braces is drawn from a seed (`--seed N`).
Nothing is drawn so that it avoids a detector: a number may be a card's by chance.
"""

import argparse
import base64
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from uuid import UUID

from bench.prompts import WORDS
from gateway.model.message import Message, Text
from gateway.policy.engine import PolicySet
from gateway.policy.load import load_agents
from gateway.providers.known import entry_of

AGENT = "policies/data-protector.yaml"
PROMPTS = 2_000
_HEX = "0123456789abcdef"
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"


def _digits(count: int) -> Callable[[Random], str]:
    return lambda rng: "".join(rng.choices("0123456789", k=count))


def _hex(count: int) -> Callable[[Random], str]:
    return lambda rng: "".join(rng.choices(_HEX, k=count))


def _table(rng: Random) -> str:
    return "\n".join(", ".join(str(rng.randrange(10_000)) for _ in range(6)) for _ in range(8))


def _matrix(rng: Random) -> str:
    return "\n".join(" ".join(rng.choices("0123456789", k=16)) for _ in range(6))


_DRAWN: dict[str, Callable[[Random], str]] = {
    "n": lambda rng: str(rng.randrange(1, 100)),
    "d2": _digits(2), "d3": _digits(3), "d4": _digits(4), "d5": _digits(5), "d6": _digits(6), "d7": _digits(7),
    "d8": _digits(8), "d9": _digits(9), "d10": _digits(10), "d11": _digits(11), "d12": _digits(12), "d13": _digits(13),
    "d15": _digits(15), "d16": _digits(16), "d18": _digits(18),
    "h7": _hex(7), "h16": _hex(16), "h32": _hex(32), "h40": _hex(40), "h64": _hex(64),
    "uuid": lambda rng: str(UUID(int=rng.getrandbits(128), version=4)),
    "date": lambda rng: f"20{rng.randrange(15, 30)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}",
    "time": lambda rng: f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}",
    "version": lambda rng: f"{rng.randrange(20)}.{rng.randrange(40)}.{rng.randrange(200)}",
    "long_version": lambda rng: ".".join(str(rng.randrange(60)) for _ in range(4)),
    "private_ip": lambda rng: f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}",
    "up3": lambda rng: "".join(rng.choices(_LETTERS, k=3)),
    "up8": lambda rng: "".join(rng.choices(_LETTERS, k=8)),
    "word": lambda rng: rng.choice(WORDS),
    "prose": lambda rng: " ".join(rng.choices(WORDS, k=rng.randint(8, 60))),
    "money": lambda rng: f"{rng.randrange(1, 999)},{rng.randrange(1000):03}.{rng.randrange(100):02}",
    "float": lambda rng: repr(rng.random() * 10 ** rng.randrange(-3, 6)),
    "image": lambda rng: base64.b64encode(rng.randbytes(rng.randint(60, 3000))).decode(),
    "table": _table,
    "matrix": _matrix,
}  # fmt: skip
TEMPLATES = (
    # Orders, parts, tickets
    "Where is order {d10}? The customer has asked since {date}.",
    "Order #{d8}-{d4} was split into {n} shipments.",
    "Tracking number 1Z{d3}{up3}{d10} has not moved since {date} {time}.",
    "Invoice INV-{d4}-{d6} over ${money} is overdue.",
    "Part no. {d3}-{d2}-{d4} replaces {d3}-{d3}-{d4}.",
    "SKU {d3}-{d3}-{d4}: {n} left in aisle {n}.",
    "Serial {up3}{d9}, lot {d6}/{d4}, bin {n}.",
    "Ticket {up3}-{d5} duplicates {up3}-{d4}; close one.",
    "EAN {d13} is printed on the box; the GTIN is {d13}.",
    "ISBN 978-{n}-{d5}-{d3}-{n}, shelf {n}.",
    "Purchase order {d10} for vendor {d6}, cost centre {d4}.",
    "Meter reading {d6}, previous {d6}, difference {n} kWh.",
    "Flight LH{d3} on {date}, seat {n}A, booking {up3}{d3}.",
    "Container MSKU{d7} left port at {time}.",
    "Case {d4}-CV-{d5} was adjourned to {date}.",
    "Product codes: {up3}{d5}, {up3}{d5}, {up3}{d6}.",
    # Identifiers of machines
    "Trace {uuid} took {n} ms, span {h16}.",
    "Delete rows whose id is {uuid} or {uuid}.",
    "Commit {h40} broke the build that {h7} had fixed.",
    "git bisect says {h40} is the first bad commit",
    "sha256:{h64} does not match the manifest",
    'ETag "{h32}", cache age {n}',
    "md5 of the archive: {h32}",
    "docker pull registry.internal/app@sha256:{h64}",
    "Request id req_{h16}, session {d16}, shard {n}",
    "Snowflake {d18} was created at {date}",
    "Kafka offset {d12} of partition {n}, lag {d5}",
    "process {d5} exited with code {n} after {float} s",
    "TLS fingerprint of the old host: 3a:{d2}:{d2}:{d2}:{d2}:{d2}:{d2}:{d2}:ff:0b",
    "segfault at 0x{h16} ip 0x{h16} sp 0x{h16} error {n}",
    "The device at {private_ip} answers, {private_ip} does not.",
    "UNIX time {d10} is in milliseconds {d13}, isn't it?",
    # Versions and dates
    "Upgrade to {version} from {version}, please; {version}-rc.{n} is broken.",
    "Chrome/{long_version} Safari/537.36 crashes on start",
    "driver version {long_version}, firmware {long_version}",
    "pip install foo=={version} bar>={version},<{n}",
    "Released {date}, end of life {date}, build {d8}.{n}",
    "From {date} {time} to {date} {time} the error rate was {float}.",
    "Meet on {date} at {time} in room {d3}?",
    "RFC {d4}, section {n}.{n}, says otherwise than RFC {d4}.",
    "Python {version}, node {version}, go {version}: which are supported?",
    # Code
    'def {word}_{word}({word}, retries={n}):\n    return {word}.get("{word}", {float})',
    "const {word} = await fetch(`/api/v{n}/${{id}}?limit={n}`);",
    "SELECT {word}, count(*) FROM {word} WHERE id > {d9} GROUP BY 1 LIMIT {n};",
    'password = os.environ["{word}_PASSWORD"]  # set in CI',
    "api_key: ${{{{ secrets.API_KEY }}}}",
    "if token.expires_at < now + {n}: token = refresh(token)",
    "export PATH=$HOME/.local/bin:$PATH PORT={d4}",
    "assert {word}({float}, {float}) == {float}",
    "@app.route('/{word}/<int:id>')\ndef {word}(id): ...",
    "color: #{h7}; margin: {n}px {n}px; z-index: {d4};",
    "@@ -{n},{n} +{n},{n} @@\n-{word} = {d6}\n+{word} = {d7}",
    "import {{ {word} }} from '@{word}/{word}'; // pinned to {version}",
    "curl -s http://localhost:{d4}/{word}?page={n} | jq .{word}",
    'The test expects\n{{"{word}": {d8}, "ok": true, "id": "{uuid}"}}',
    "regex ^[0-9]{{{n}}}-[a-z]+$ does not match {d4}-{word}",
    "ssh git@git.internal:{word}/{word}.git works, https does not",
    "kubectl get pods -n {word} | grep {word}-{h7}",
    'logger.info("user %s took %d ms", user.id, {n})',
    "icon@2x.png and icon@3x.png are missing in v{version}",
    # Numbers
    "Sum these:\n{table}",
    "Transpose this matrix:\n{matrix}",
    "Is {d15} prime? And {d13}, {d11}?",
    "pi to many places is 3.14159265358979, e is 2.71828182845905, mine {float}",
    "Coordinates {float}, -{float}, altitude {d3} m",
    "Population grew from {d7} to {d8}; GDP is {d12}.",
    "The loss went {float} {float} {float} {float} over {n} epochs",
    "Convert {d9} bytes to MiB and {d12} to GiB.",
    "Roll {n} dice {d3} times; seed {d9}",
    # Media
    "What is in this picture? data:image/png;base64,{image}",
    "Attachment (base64): {image}",
    "![chart](data:image/jpeg;base64,{image})",
    # Prose in many languages
    "{prose}",
    "Summarise: {prose}. {prose}. {prose}.",
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, {n} sed do eiusmod tempor.",
    "Wie rufe ich in Rust eine Funktion mit {n} Argumenten auf? Ein Beispiel mit {d9} genügt.",
    "Rechnung {d10} vom {date} ist noch offen, bitte prüfen.",
    "Écris un poème de {n} vers sur la mer, puis traduis-le.",
    "La commande {d9} a été expédiée le {date}.",
    "¿Cuántos días faltan para el {date}? El pedido {d8} llega tarde.",
    "Scrivi {n} idee per una cena; il codice dello sconto è {up8}.",
    "Schrijf een mail over bestelling {d9}.",
    "Ile to jest {d5} razy {d4}? Zamówienie {d10}.",
    "Как написать функцию, которая возвращает {n} чисел из {d9}?",
    "订单 {d12} 什么时候发货？版本 {version} 有问题。",
    "注文番号 {d10} の配送状況を教えてください。",
    "주문 {d11} 상태를 확인해 주세요.",
    "اكتب قصة قصيرة من {n} سطر عن الطلب {d8}",
    "कृपया ऑर्डर {d10} की स्थिति बताइए।",
    # About what is protected
    "How long should a password be? {n} characters?",
    "Explain how credit card checksums work, step by step.",
    "What does an IBAN look like in Germany?",
    "Write a regex for phone numbers such as (555) 010-{d4}.",
    "How are people diagnosed with diabetes, and at what age?",
    "Our tax return template has {n} fields; which are for VAT?",
    "Call the function with id {d10} and text the result to the log.",
    "What is the salary range of a nurse in {date}?",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.false_alarms")
    parser.add_argument("--seed", type=int, default=1)
    alarms = alarms_of(seed := parser.parse_args().seed)
    for reason, template in alarms:
        print(f"{reason}  <-  {template!r}")
    by_reason = Counter(reason for reason, _ in alarms)
    print(f"seed {seed}: {len(alarms)} of {PROMPTS} = {len(alarms) / PROMPTS:.2%}, of {len(TEMPLATES)} templates")
    print(dict(by_reason))


def alarms_of(seed: int) -> list[tuple[str, str]]:
    """(reason, template) of each prompt that the agent as it ships has something to say about."""
    policies = PolicySet(load_agents([AGENT]), sensitive=())
    alarms = []
    for template, prompt in prompts(seed):
        [assessment] = policies.assess("inlet", [entry_of(Message("user", (Text(prompt),)))])
        if assessment.outcome != "allowed" or assessment.state != "evaluated":
            alarms.append((assessment.reason, template))
    return alarms


def prompts(seed: int) -> Iterator[tuple[str, str]]:
    """Each template as often as any other, in turn."""
    rng = Random(seed)
    for number in range(PROMPTS):
        template = TEMPLATES[number % len(TEMPLATES)]
        yield template, filled(template, rng)


def filled(template: str, rng: Random) -> str:
    return template.format_map(_Draw(rng))


class _Draw(dict[str, str]):
    """Draws anew for each brace."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def __missing__(self, name: str) -> str:
        return _DRAWN[name](self._rng)


if __name__ == "__main__":
    main()
