"""Each detector: what it must see, and what it must leave alone."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.compile import MAX_CANDIDATES, MAX_PLACES, Effort, Scanner
from gateway.policy.detectors.entities import ENTITIES, card_places, email_places, iban_places
from gateway.policy.detectors.patterns import keyword_shape, pattern_shape
from gateway.policy.detectors.secrets import SECRETS
from gateway.policy.detectors.shape import Place, Shape

ALNUM = "a8Kd02mZqP4rTx6vWy1BnC3EfG5hJ7Lo9Qs1uI8tYcV4kD0zXw6bN2mH5gF3jR7pA1eS9qL4oU8iT2yW6x"
HEX = "a8d02f4c61be3579a8d02f4c61be3579a8d02f4c61be3579a8d02f4c61be3579"
UPPER = "K7QZ2M4XT6VW3BNC5EFGHJ7LP2QS4UIYK7QZ2M4XT6VW3BNC5EFGHJ7LP2QS4UIYAB"
UUID = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"

EXAMPLES = {
    "openai_project_key": f"sk-proj-{ALNUM[:40]}",
    "openai_key": f"sk-{ALNUM[:48]}",
    "anthropic_key": f"sk-ant-api03-{ALNUM[:60]}",
    "openrouter_key": f"sk-or-v1-{HEX}",
    "spangate_key": f"sg-{ALNUM[:40]}",
    "groq_key": f"gsk_{ALNUM[:52]}",
    "xai_key": f"xai-{ALNUM[:80]}",
    "perplexity_key": f"pplx-{ALNUM[:48]}",
    "replicate_token": f"r8_{ALNUM[:37]}",
    "huggingface_token": f"hf_{ALNUM[:34]}",
    "langsmith_key": f"lsv2_pt_{HEX[:32]}_{HEX[:10]}",
    "langfuse_key": f"sk-lf-{UUID}",
    "nvidia_key": f"nvapi-{ALNUM[:64]}",
    "tavily_key": f"tvly-{ALNUM[:32]}",
    "pinecone_key": f"pcsk_{ALNUM[:6]}_{ALNUM[:60]}",
    "aws_access_key_id": f"AKIA{UPPER[:16]}",
    "aws_bedrock_key": f"ABSK{(ALNUM * 2)[:128]}",
    "gcp_api_key": f"AIza{ALNUM[:35]}",
    "gcp_oauth_secret": f"GOCSPX-{ALNUM[:28]}",
    "gcp_oauth_token": f"ya29.{ALNUM[:60]}",
    "github_token": f"ghp_{ALNUM[:36]}",
    "github_fine_grained_token": f"github_pat_{ALNUM[:22]}_{ALNUM[:59]}",
    "gitlab_token": f"glpat-{ALNUM[:20]}",
    "bitbucket_token": f"ATBB{ALNUM[:32]}",
    "atlassian_token": f"ATATT3{ALNUM[:70]}",
    "slack_token": f"xoxb-123456789012-1234567890123-{ALNUM[:24]}",
    "slack_app_token": f"xapp-1-A0B1C2D3E4-1234567890-{HEX}",
    "slack_webhook": f"https://hooks.slack.com/services/T0A1B2C3D/B0A1B2C3D/{ALNUM[:24]}",
    "discord_webhook": f"https://discord.com/api/webhooks/123456789012345678/{ALNUM[:68]}",
    "discord_bot_token": f"M{ALNUM[:25]}.{ALNUM[:6]}.{ALNUM[:38]}",
    "telegram_bot_token": f"123456789:AA{ALNUM[:33]}",
    "stripe_key": f"sk_live_{ALNUM[:24]}",
    "stripe_webhook_secret": f"whsec_{ALNUM[:32]}",
    "square_token": f"sq0atp-{ALNUM[:22]}",
    "shopify_token": f"shpat_{HEX[:32]}",
    "twilio_api_key": f"SK{HEX[:32]}",
    "sendgrid_key": f"SG.{ALNUM[:22]}.{ALNUM[:43]}",
    "mailgun_key": f"key-{HEX[:32]}",
    "mailchimp_key": f"{HEX[:32]}-us12",
    "brevo_key": f"xkeysib-{HEX}-{ALNUM[:16]}",
    "resend_key": f"re_{ALNUM[:8]}_{ALNUM[:24]}",
    "npm_token": f"npm_{ALNUM[:36]}",
    "pypi_token": f"pypi-AgE{ALNUM[:80]}",
    "rubygems_key": f"rubygems_{HEX[:48]}",
    "crates_token": f"cio{ALNUM[:32]}",
    "docker_token": f"dckr_pat_{ALNUM[:27]}",
    "digitalocean_token": f"dop_v1_{HEX}",
    "heroku_key": f"HRKU-AA{ALNUM[:58]}",
    "fly_token": f"FlyV1 fm2_{ALNUM[:60]}",
    "vercel_token": f"vcp_{ALNUM[:24]}",
    "netlify_token": f"nfp_{ALNUM[:36]}",
    "supabase_token": f"sbp_{HEX[:40]}",
    "supabase_secret_key": f"sb_secret_{ALNUM[:36]}",
    "planetscale_token": f"pscale_tkn_{ALNUM[:43]}",
    "neon_key": f"napi_{ALNUM.lower()[:64]}",
    "databricks_token": f"dapi{HEX[:32]}",
    "vault_token": f"hvs.{ALNUM[:40]}",
    "terraform_token": f"{ALNUM[:14]}.atlasv1.{ALNUM[:67]}",
    "pulumi_token": f"pul-{HEX[:40]}",
    "grafana_token": f"glsa_{ALNUM[:32]}_{HEX[:8]}",
    "new_relic_key": f"NRAK-{UPPER[:27]}",
    "sentry_token": f"sntrys_{ALNUM[:60]}",
    "dynatrace_token": f"dt0c01.{UPPER[:24]}.{UPPER[:64]}",
    "linear_key": f"lin_api_{ALNUM[:40]}",
    "notion_token": f"ntn_{ALNUM[:46]}",
    "airtable_token": f"pat{ALNUM[:14]}.{HEX}",
    "asana_token": f"1/1234567890123456:{HEX[:32]}",
    "postman_key": f"PMAK-{HEX[:24]}-{HEX[:34]}",
    "figma_token": f"figd_{ALNUM[:43]}",
    "hubspot_token": f"pat-eu1-{UUID}",
    "doppler_token": f"dp.pt.{ALNUM[:43]}",
    "onepassword_token": f"ops_eyJ{(ALNUM * 2)[:120]}",
    "age_secret_key": f"AGE-SECRET-KEY-1{UPPER[:58]}",
    "tailscale_key": f"tskey-auth-{ALNUM[:12]}-{ALNUM[:32]}",
    "jwt": f"eyJ{ALNUM[:30]}.eyJ{ALNUM[:60]}.{ALNUM[:43]}",
    "private_key": "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n-----END OPENSSH PRIVATE KEY-----",
    "putty_private_key": "PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\nAAAA\nPrivate-MAC: 00ff",
    "elevenlabs_key": f"sk_{HEX[:48]}",
    "cerebras_key": f"csk-{ALNUM.lower()[:48]}",
    "fireworks_key": f"fw_{ALNUM[:24]}",
    "voyage_key": f"pa-{ALNUM[:43]}",
    "jina_key": f"jina_{ALNUM[:60]}",
    "firecrawl_key": f"fc-{HEX[:32]}",
    "e2b_key": f"e2b_{HEX[:40]}",
    "gcp_refresh_token": f"1//0{ALNUM[:60]}",
    "firebase_server_key": f"AAAA{ALNUM[:7]}:APA91b{(ALNUM * 2)[:134]}",
    "alibaba_key_id": f"LTAI{ALNUM[:20]}",
    "gitlab_runner_token": f"GR1348941{ALNUM[:20]}",
    "artifactory_key": f"AKC{ALNUM[:70]}",
    "nuget_key": f"oy2{ALNUM.lower()[:43]}",
    "sonar_token": f"sqp_{HEX[:40]}",
    "teams_webhook": f"https://acme.webhook.office.com/webhookb2/{UUID}@{UUID}/IncomingWebhook/{HEX[:32]}/x",
    "zapier_webhook": "https://hooks.zapier.com/hooks/catch/1234567/ab12cd3/",
    "braintree_token": f"access_token$production${ALNUM.lower()[:16]}${HEX[:32]}",
    "mapbox_token": f"sk.eyJ{ALNUM[:70]}.{ALNUM[:22]}",
    "password_hash": f"$2b$12${ALNUM[:53]}",
    "aws_session_token": f"AWS_SESSION_TOKEN={(ALNUM * 2)[:120]}",
    "azure_openai_key": f"AZURE_OPENAI_API_KEY={HEX[:32]}",
    "named_key": f"MISTRAL_API_KEY={ALNUM[:32]}",
    "npm_auth_token": f"//registry.npmjs.org/:_authToken={ALNUM[:36]}",
    "docker_auth": '"auth": "YWRhOmxvdmVsYWNlMTgxNQ=="',
    "netrc_password": "machine git.acme.dev login ada password hG72kdLq0",
    "curl_password": "curl -s -u ada:hG72kdLq0 https://git.acme.dev",
    "sshpass_password": "sshpass -p 'hG72kdLq0' ssh ada@db",
    "stated_password": "the password is Tr4vel-by-night!",
    "aws_secret_access_key": f"aws_secret_access_key = {ALNUM[:40]}",
    "azure_storage_key": f"AccountName=a;AccountKey={(ALNUM * 2)[:86]}==;",
    "azure_shared_access_key": f"SharedAccessKey={ALNUM[:43]}=",
    "azure_client_secret": f"aB38Q~{ALNUM[:34]}",
    "twilio_auth_token": f"TWILIO_AUTH_TOKEN={HEX[:32]}",
    "datadog_key": f"DD_API_KEY={HEX[:32]}",
    "cloudflare_token": f"CLOUDFLARE_API_TOKEN={ALNUM[:40]}",
    "connection_string": "postgresql+asyncpg://app:hG72kdLq0@db.internal:5432/prod",
    "server_password": "Server=tcp:db,1433;Database=x;User Id=sa;Password=hG72kdLq0;",
    "authorization_bearer": f"Authorization: Bearer {ALNUM[:40]}",
    "authorization_basic": "Authorization: Basic YWRhOmxvdmVsYWNlMTgxNQ==",
    "quoted_assignment": '{"password": "Tr4vel-by-night"}',
    "plain_assignment": "DB_PASSWORD=hG72kdLq0x",
}

INNOCENT = [
    "what is an api key?",
    "Keep your password secret: never share it.",
    'password = "your-password-here"',
    'private_key: "_RSAPrivateKey"',
    "password: required, at least 12 characters",
    "api_key = os.environ['OPENAI_API_KEY']",
    "token = get_token(request)",
    "secret = config.secret_key",
    "export API_KEY=${API_KEY}",
    "postgres://user:password@localhost/db",
    "https://example.com:8080/path?x=1",
    "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "sk-learn and sk-proj are names",
    "risk-adjusted-returns-of-the-portfolio-over-the-long-run",
    f"uuid {UUID}",
    "commit 51af6ea0c2b8d4f19e7a3b5c6d8e0f1a2b3c4d5e",
    "spangate 0.1.0, python 3.11.7, order #10024418, build 20261123.4",
    "def password_hash(password: str) -> bytes: ...",
    "The bearer of this letter, a most excellent friend, may pass.",
    "-----BEGIN PUBLIC KEY-----\nMFww\n-----END PUBLIC KEY-----",
    "eyJhbGciOiJIUzI1NiJ9 is only a header",
    "The password is required and must be at least 12 characters.",
    "My password is still not working after the reset",
    "curl -u user:password https://example.com",
    '"auth": "bm90aGluZyBoZXJl"',
    "machine learning login page password field",
    "$2b$ is how bcrypt begins",
    "PuTTY-User-Key-File-3 is a format",
    "the mistral wind; mistral-large-latest token limit",
]


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    return Scanner([*SECRETS.values(), *ENTITIES.values()])


def seen(scanner: Scanner, text: str) -> set[str]:
    noticed = scanner.noticed(text)
    return {scanner.shapes[i].name for r, found in noticed for i in found if scanner.places_in(i, r).places}


def written(text: str, places: Iterable[Place | None]) -> list[str]:
    return [text[place[0] : place[1]] for place in places if place is not None]


def spots(shape: Shape, text: str) -> list[str]:
    scanner = Scanner([shape])
    return [text[a:b] for a, b in scanner.places(0, text).places] if scanner.noticed(text) else []


def test_every_secret_has_an_example_and_there_are_many() -> None:
    assert set(EXAMPLES) == set(SECRETS)
    assert len(SECRETS) >= 60


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("frame", ["{}", "häufig: {} end", '{{"k": "{}"}}'])
def test_a_secret_is_seen_wherever_it_stands(scanner: Scanner, name: str, frame: str) -> None:
    assert f"secret:{name}" in seen(scanner, frame.format(EXAMPLES[name]))


@pytest.mark.parametrize("text", INNOCENT)
def test_ordinary_prose_and_code_is_left_alone(scanner: Scanner, text: str) -> None:
    assert not {name for name in seen(scanner, text) if name.startswith("secret:")}


def test_only_the_value_of_an_assignment_is_its_place() -> None:
    assert spots(SECRETS["quoted_assignment"], 'x "password": "Tr4vel-by-night", y') == ["Tr4vel-by-night"]
    assert spots(SECRETS["connection_string"], "é redis://:hG72kdLq0@h/0") == ["hG72kdLq0"]


def test_a_private_key_is_its_whole_block() -> None:
    block = "-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----"
    assert spots(SECRETS["private_key"], f"see {block} and {block}.") == [block, block]


@pytest.mark.parametrize(
    ("text", "cards"),
    [
        ("4111111111111111", ["4111111111111111"]),
        ("card 12 4111 1111 1111 1111 and", ["4111 1111 1111 1111"]),
        ("5500-0000-0000-0004", ["5500-0000-0000-0004"]),
        ("3782 822463 10005", ["3782 822463 10005"]),
        ("6011111111111117, 30569309025904", ["6011111111111117", "30569309025904"]),
        ("4111111111111112", []),  # checksum
        ("9111111111111111", []),  # no issuer
        ("411111111111111", []),  # length
        ("0.4111111111111111", []),
        ("id_4111111111111111", []),
        ("4111-1111 1111-1111", []),
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", []),
    ],
)
def test_cards(text: str, cards: list[str]) -> None:
    assert written(text, card_places(text)) == cards
    assert spots(ENTITIES["credit_card"], text) == cards


@pytest.mark.parametrize(
    ("text", "ibans"),
    [
        ("DE89370400440532013000", ["DE89370400440532013000"]),
        ("to DE89 3704 0044 0532 0130 00 please pay", ["DE89 3704 0044 0532 0130 00"]),
        ("gb82 west 1234 5698 7654 32.", ["gb82 west 1234 5698 7654 32"]),
        ("DE89370400440532013001", []),  # checksum
        ("DE893704004405320130", []),  # length
        ("DE8937040044053201300012", []),
        ("XX89370400440532013000", []),
    ],
)
def test_ibans(text: str, ibans: list[str]) -> None:
    assert written(text, iban_places(text)) == ibans
    assert spots(ENTITIES["iban"], text) == ibans


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("write to Ada.Lovelace+x@mail.acme.co.uk.", ["Ada.Lovelace+x@mail.acme.co.uk"]),
        ("mailto:a@b.org;c@d.org", ["a@b.org", "c@d.org"]),
        ("git@github.com:org/repo", []),
        ("https://ci:pw@git.acme.dev/app", []),
        ("icon@2x.png and @app.route and pkg@1.2.3", []),
        ("me@localhost", []),
    ],
)
def test_addresses(text: str, addresses: list[str]) -> None:
    assert written(text, email_places(text)) == addresses
    assert spots(ENTITIES["email"], text) == addresses


@pytest.mark.parametrize(
    ("keyword", "text", "hits"),
    [
        ("nightjar", "The NightJar sings", ["NightJar"]),
        ("nightjar", "nightjars, änightjar, nightjar_2", []),
        ("nightjar", "night jar", []),
        ("project aurora", "Project\n  Aurora", ["Project\n  Aurora"]),
        ("c++", "I like C++, not c+", ["C++"]),
        ("ähre", "Die ÄHRE; die Währen", ["ÄHRE"]),
        ("a.b", "a.b axb", ["a.b"]),
    ],
)
def test_keywords_are_whole_words_in_any_case(keyword: str, text: str, hits: list[str]) -> None:
    assert spots(keyword_shape(0, keyword), text) == hits


def test_patterns_say_where_in_characters() -> None:
    assert spots(pattern_shape(0, r"(?i)project\s+\w+"), "äöü Project aurora ß") == ["Project aurora"]
    assert spots(pattern_shape(0, "k.b"), "k€b") == ["k€b"]


def test_a_pattern_that_would_explode_elsewhere_is_linear_here() -> None:
    shape = pattern_shape(0, "(a+)+b$")
    assert spots(shape, "a" * 50_000) == []


def test_endless_matches_are_bounded_and_said_so() -> None:
    shape = pattern_shape(0, "ab")
    scanner = Scanner([shape])
    found = scanner.places(0, "ab" * 5_000)
    assert len(found.places) == MAX_PLACES
    assert found.more


@pytest.mark.parametrize(
    "unit", ["sk-proj-", "eyJ-", "a@", "DE89 ", "4 ", "server=a;", "postgres://", "-----BEGIN PRIVATE KEY-----"]
)
def test_texts_made_to_hurt_come_to_an_end(scanner: Scanner, unit: str) -> None:
    text = unit * 20_000  # anything quadratic would take minutes
    noticed = scanner.noticed(text)
    assert all(len(scanner.places_in(i, reading).places) <= MAX_PLACES for reading, found in noticed for i in found)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("iban", "DE89 "),
        ("iban", "DE89370400440532013001,"),
        ("credit_card", "4111 "),
        ("credit_card", "4111111111111112,"),
        ("email", "a@b.png "),
    ],
)
def test_a_flood_of_what_only_looks_so_is_given_up_and_said_so(name: str, unit: str) -> None:
    assert Scanner([ENTITIES[name]]).places(0, unit * 5_000) == ([], True)


def test_numbers_of_no_issuer_and_words_of_no_country_are_no_candidates() -> None:
    assert list(card_places("1780000000000000000 9999 9999 9999 9999 0.4111111111111111 " * 10)) == []
    assert list(iban_places("fa34 ZZ89 be1 xDE89 " * 10)) == []
    assert list(email_places("@app.route @Override me@ " * 10)) == []


def test_a_flood_of_one_kind_does_not_hide_a_key_of_another(scanner: Scanner) -> None:
    effort = Effort()
    key = EXAMPLES["github_token"]
    text = f"DE89 4111111111111112 a@b.png sk-{'x' * 40} " * 3_000 + key
    noticed = [i for reading, found in scanner.noticed(text) for i in found if reading.base is None]
    found = [text[a:b] for i in noticed for a, b in scanner.places(i, text, effort).places]
    assert found == [key]
    assert effort.allowance < MAX_CANDIDATES


@given(st.text(max_size=300))
def test_any_text_can_be_looked_through(text: str) -> None:
    for find in (card_places, iban_places, email_places):
        places = [place for place in find(text) if place is not None]
        assert all(0 <= a < b <= len(text) for a, b in places)
        assert all(first[1] <= second[0] for first, second in pairwise(places))


@given(st.text(alphabet="é€a 𝄞", max_size=30), st.text(alphabet="é€a 𝄞", max_size=30))
def test_places_are_right_beside_any_alphabet(before: str, after: str) -> None:
    assert spots(pattern_shape(0, "xyz+"), f"{before}xyzz{after}") == ["xyzz"]
