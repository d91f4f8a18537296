"""Keys, tokens and passwords by the shapes their providers document. Looks at shape and context, never tries a key.

What is noticed is in the subset that Hyperscan and Python's `re` both understand; a group is the part that is secret.
Every exact expression is tried only where its start was seen, and takes at most a few hundred characters.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator

from gateway.policy.detectors.shape import Place, Shape

_PRIVATE_KEY = r"-----BEGIN (?:[A-Z0-9]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----"
_PLACEHOLDERS = re.compile(
    r"change.?me|example|placeholder|redacted|your|xxxx|\*\*\*|<|\$\{|\{\{|%\(|\.\.\.|^password\d*$|^passwd$|^secret$|^pass$|^test",
    re.IGNORECASE,
)


def _not_filler(value: str) -> bool:
    """Not `sk-xxxxxxxxxxxx`: documentation writes keys so."""
    tail = value[-12:].lower()
    return len(set(tail)) > 1 or tail[-1] not in "x*.0"


def _random(value: str) -> bool:
    """As mixed as generated keys are: at least three bits a character, letters and digits."""
    return _mixed(value) and _bits_a_character(value) >= 3.0


def _mixed(value: str) -> bool:
    if _PLACEHOLDERS.search(value):
        return False
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def _guarded(value: str) -> bool:
    """A quoted password: more than letters, and no word that stands for one. `_` and `.` are in names of code too."""
    more = any(not c.isalpha() and c not in "_." for c in value)
    return more and any(c.isalpha() for c in value) and _real(value) and _bits_a_character(value) >= 2.5


def _real(value: str) -> bool:
    return not _PLACEHOLDERS.search(value)


def _bits_a_character(value: str) -> float:
    """Shannon entropy."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values())


# Name and shape of keys that carry their provider's mark.
_MARKED: tuple[tuple[str, str], ...] = (
    ("openai_project_key", r"\bsk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,}"),
    ("openai_key", r"\bsk-[A-Za-z0-9]{32,}\b"),
    ("anthropic_key", r"\bsk-ant-[a-z]{2,10}[0-9]{2}-[A-Za-z0-9_-]{20,}"),
    ("openrouter_key", r"\bsk-or-v1-[0-9a-f]{40,}\b"),
    ("spangate_key", r"\bsg-[A-Za-z0-9_-]{32,}"),
    ("groq_key", r"\bgsk_[A-Za-z0-9]{40,}\b"),
    ("xai_key", r"\bxai-[A-Za-z0-9]{60,}\b"),
    ("perplexity_key", r"\bpplx-[A-Za-z0-9]{40,}\b"),
    ("replicate_token", r"\br8_[A-Za-z0-9]{36,}\b"),
    ("huggingface_token", r"\bhf_[A-Za-z0-9]{30,}\b"),
    ("langsmith_key", r"\blsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{8,}\b"),
    ("langfuse_key", r"\bsk-lf-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"),
    ("nvidia_key", r"\bnvapi-[A-Za-z0-9_-]{50,}"),
    ("tavily_key", r"\btvly-(?:dev-|prod-)?[A-Za-z0-9]{30,}\b"),
    ("pinecone_key", r"\bpcsk_[A-Za-z0-9]{4,8}_[A-Za-z0-9]{40,}\b"),
    ("aws_access_key_id", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    ("aws_bedrock_key", r"\bABSK[A-Za-z0-9+/]{80,}={0,2}"),
    ("gcp_api_key", r"\bAIza[A-Za-z0-9_-]{35}"),
    ("gcp_oauth_secret", r"\bGOCSPX-[A-Za-z0-9_-]{28}"),
    ("gcp_oauth_token", r"\bya29\.[A-Za-z0-9_-]{30,}"),
    ("github_token", r"\bgh[pousr]_[A-Za-z0-9]{36,}\b"),
    ("github_fine_grained_token", r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{50,}\b"),
    ("gitlab_token", r"\bgl(?:pat|ptt|rt|cbt|dt|soat|imt|agent|oas)-[A-Za-z0-9_-]{20,}"),
    ("bitbucket_token", r"\bAT(?:BB|CTT3xFfG)[A-Za-z0-9_=-]{24,}"),
    ("atlassian_token", r"\bATATT3[A-Za-z0-9_=-]{60,}"),
    ("slack_token", r"\bxox[abeoprs]-[0-9]{1,13}-[A-Za-z0-9-]{16,}"),
    ("slack_app_token", r"\bxapp-[0-9]-[A-Z0-9]{8,}-[0-9]{8,}-[0-9a-f]{32,}\b"),
    ("slack_webhook", r"\bhooks\.slack\.com/services/T[A-Z0-9]{6,}/B[A-Z0-9]{6,}/[A-Za-z0-9]{20,}"),
    ("discord_webhook", r"\bdiscord(?:app)?\.com/api/webhooks/[0-9]{16,20}/[A-Za-z0-9_-]{60,}"),
    ("discord_bot_token", r"\b[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}"),
    ("telegram_bot_token", r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
    ("stripe_key", r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{20,}\b"),
    ("stripe_webhook_secret", r"\bwhsec_[A-Za-z0-9+/]{32,}"),
    ("square_token", r"\b(?:sq0atp-[A-Za-z0-9_-]{22}|sq0csp-[A-Za-z0-9_-]{43}|EAAA[A-Za-z0-9_-]{60})"),
    ("shopify_token", r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b"),
    ("twilio_api_key", r"\bSK[0-9a-f]{32}\b"),
    ("sendgrid_key", r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    ("mailgun_key", r"\bkey-[0-9a-f]{32}\b"),
    ("mailchimp_key", r"\b[0-9a-f]{32}-us[0-9]{1,2}\b"),
    ("brevo_key", r"\bxkeysib-[0-9a-f]{64}-[A-Za-z0-9]{16}\b"),
    ("resend_key", r"\bre_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}\b"),
    ("npm_token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("pypi_token", r"\bpypi-AgE[A-Za-z0-9_-]{50,}"),
    ("rubygems_key", r"\brubygems_[0-9a-f]{48}\b"),
    ("crates_token", r"\bcio[A-Za-z0-9]{32}\b"),
    ("docker_token", r"\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{27,}"),
    ("digitalocean_token", r"\bdo[por]_v1_[0-9a-f]{64}\b"),
    ("heroku_key", r"\bHRKU-AA[A-Za-z0-9_-]{58}"),
    ("fly_token", r"\bFlyV1 fm[12][ar]?_[A-Za-z0-9+/=_,-]{40,}"),
    ("vercel_token", r"\bvc[pika]_[A-Za-z0-9]{24,}\b"),
    ("netlify_token", r"\bnfp_[A-Za-z0-9]{36}\b"),
    ("supabase_token", r"\bsbp_[0-9a-f]{40}\b"),
    ("supabase_secret_key", r"\bsb_secret_[A-Za-z0-9_-]{30,}"),
    ("planetscale_token", r"\bpscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,}"),
    ("neon_key", r"\bnapi_[a-z0-9]{60,}\b"),
    ("databricks_token", r"\bdapi[0-9a-f]{32}(?:-[0-9])?\b"),
    ("vault_token", r"\bhv[sbr]\.[A-Za-z0-9_-]{24,}"),
    ("terraform_token", r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,}"),
    ("pulumi_token", r"\bpul-[0-9a-f]{40}\b"),
    ("grafana_token", r"\bgl(?:sa_[A-Za-z0-9]{32}_[0-9a-f]{8}|c_[A-Za-z0-9+/]{32,}={0,2})"),
    ("new_relic_key", r"\bNRAK-[A-Z0-9]{27}\b"),
    ("sentry_token", r"\bsntry[su]_[A-Za-z0-9+/=_-]{40,}"),
    ("dynatrace_token", r"\bdt0[cs][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}\b"),
    ("linear_key", r"\blin_(?:api|oauth)_[A-Za-z0-9]{32,}\b"),
    ("notion_token", r"\b(?:ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43})\b"),
    ("airtable_token", r"\bpat[A-Za-z0-9]{14}\.[0-9a-f]{64}\b"),
    ("asana_token", r"\b[12]/[0-9]{12,20}(?:/[0-9]{12,20})?:[0-9a-f]{32}\b"),
    ("postman_key", r"\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}\b"),
    ("figma_token", r"\bfig[dour]_[A-Za-z0-9_-]{40,}"),
    ("hubspot_token", r"\bpat-(?:na|eu|ap)[0-9]-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"),
    ("doppler_token", r"\bdp\.(?:pt|st|sa|ct|scim|audit)\.[A-Za-z0-9._-]{40,}"),
    ("onepassword_token", r"\bops_eyJ[A-Za-z0-9+/=_-]{100,}"),
    ("age_secret_key", r"\bAGE-SECRET-KEY-1[A-Z0-9]{58}\b"),
    ("tailscale_key", r"\btskey-(?:auth|api|client|webhook|scim)-[A-Za-z0-9]{8,}-[A-Za-z0-9]{16,}"),
    ("jwt", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{16,}"),
)

_SCHEMES = (
    r"\b(?:postgres(?:ql)?|mysql|mariadb|mongodb|rediss?|amqps?|mssql|sqlserver|clickhouse|cockroachdb"
    r"|s?ftp|smtps?|ldaps?|https?)(?:\+[a-z0-9]{1,20})?://"
)
_ASSIGNED = (
    r"(?:passwd|password|passphrase|pwd|secret|secret_?key|client_?secret|api[_-]?key|access_?key|access_?token"
    r"|auth_?token|private_?key)"
)
_QUOTED = _ASSIGNED + r"[\"']?[ \t]{0,4}(?::=|=>|=|:)[ \t]{0,4}[\"']"
_PLAIN = (
    r"(?:password|passwd|secret|secret_?key|api_?key|access_?key|access_?token|auth_?token)"
    r"[ \t]{0,2}[=:][ \t]{0,2}"
)

# Values that only their surroundings give away: name, what to notice, the exact shape ("" for the same), and what the
# value must look like. Two expressions where Hyperscan finds the exact one too large to give its start.
_TOLD: tuple[tuple[str, str, str, Callable[[str], bool]], ...] = (
    (
        "aws_secret_access_key",
        r"\b(?:aws_?)?secret_?(?:access_?)?key[\"' :=>]{1,8}[A-Za-z0-9/+]{40}",
        r"(?:aws_?)?secret_?(?:access_?)?key[\"' :=>]{1,8}([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        _mixed,
    ),
    ("azure_storage_key", r"\bAccountKey=([A-Za-z0-9+/]{86}==)", "", _real),
    ("azure_shared_access_key", r"\bSharedAccessKey=([A-Za-z0-9+/]{43}=)", "", _real),
    ("azure_client_secret", r"\b([A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34})", "", _random),
    ("twilio_auth_token", r"\btwilio[a-z_ ]{0,20}token[\"' :=]{1,6}([0-9a-f]{32})\b", "", _random),
    ("datadog_key", r"\b(?:dd|datadog)_(?:api|app)_?key[\"' :=]{1,6}([0-9a-f]{32,40})\b", "", _random),
    ("cloudflare_token", r"\b(?:cf|cloudflare)_api_(?:token|key)[\"' :=]{1,6}([A-Za-z0-9_-]{37,40})\b", "", _random),
    (
        "connection_string",
        _SCHEMES + r"[^\s:/@\"'<>]*:[^\s:/@\"'<>]{3}",
        _SCHEMES + r"[^\s:/@\"'<>]{0,100}:([^\s:/@\"'<>]{3,200})@[^\s\"'<>/@]",
        _real,
    ),
    (
        "server_password",
        r"\bserver=[a-z0-9]",
        r"server=[^;\s]{1,100};[^\"'\r\n]{0,200}?\b(?:password|pwd)=([^;\s\"']{4,100})",
        _real,
    ),
    ("authorization_bearer", r"\bbearer[ \t]{1,3}([A-Za-z0-9_~+/.-]{20,}={0,2})", "", _random),
    ("authorization_basic", r"\bauthorization[\"' :=]{1,6}basic[ \t]{1,3}([A-Za-z0-9+/]{12,}={0,2})", "", _real),
    ("quoted_assignment", _QUOTED + r"[^\s\"'`]{8}", _QUOTED + r"([^\s\"'`]{8,200})[\"']", _guarded),
    (
        "plain_assignment",
        _PLAIN + r"[A-Za-z0-9+/_~!@#%^&*-]{8}",
        _PLAIN + r"([A-Za-z0-9+/_~!@#%^&*-]{8,200})(?![A-Za-z0-9+/_~!@#%^&*.(\[-])",
        _random,
    ),
)


def _marked_shape(name: str, expression: str) -> Shape:
    return Shape(f"secret:{name}", expression, confirm=_confirmer(expression, False, _not_filler))


def _told_shape(name: str, noticed: str, exact: str, accepted: Callable[[str], bool]) -> Shape:
    return Shape(f"secret:{name}", noticed, ignore_case=True, confirm=_confirmer(exact or noticed, True, accepted))


def _confirmer(
    expression: str, ignore_case: bool, accepted: Callable[[str], bool]
) -> Callable[[str, int], Place | None]:
    flags = re.ASCII | (re.IGNORECASE if ignore_case else 0)

    def confirm(text: str, start: int) -> Place | None:
        match = re.compile(expression, flags).match(text, start)  # compiled once: `re` remembers it
        if match is None:
            return None
        place = match.span(1 if match.re.groups else 0)
        return place if accepted(text[place[0] : place[1]]) else None

    return confirm


def private_key_places(text: str) -> Iterator[Place]:
    """Whole blocks, to the END line or, where it is missing, to the end of the text."""
    position = 0
    while (begin := re.compile(_PRIVATE_KEY).search(text, position)) is not None:
        end = text.find("-----END ", begin.end())
        closing = text.find("-----", end + 9) if end >= 0 else -1
        position = closing + 5 if closing >= 0 else len(text)
        yield begin.start(), position


SECRETS: dict[str, Shape] = {
    shape.name.partition(":")[2]: shape
    for shape in (
        Shape("secret:private_key", _PRIVATE_KEY, find=private_key_places),
        *(_marked_shape(*row) for row in _MARKED),
        *(_told_shape(*row) for row in _TOLD),
    )
}
