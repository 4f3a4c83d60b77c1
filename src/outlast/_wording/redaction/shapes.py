"""What secrets look like: one row for each kind.

A row has cues, one of which is in every text that the pattern finds something in: looking for a
cue costs a fraction of looking for a pattern. What a group named `kept` finds stays in the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of secret; cues are in lower case where the pattern ignores it."""

    name: str
    cues: tuple[str, ...]
    source: str
    ignores_case: bool = False

    @property
    def pattern(self) -> re.Pattern[str]:
        """What it looks like, made when a cue was found for the first time: most never are."""
        return _compiled(self.source, ignores_case=self.ignores_case)


@cache
def _compiled(source: str, *, ignores_case: bool) -> re.Pattern[str]:
    return re.compile(source, re.IGNORECASE | re.VERBOSE if ignores_case else 0)


def _token(name: str, *prefixes: str, rest: str, ending: str = "") -> Shape:
    """Return the shape of tokens that begin with a prefix of their issuer's."""
    begins = "|".join(re.escape(prefix) for prefix in prefixes)
    return Shape(name, prefixes, rf"(?<![A-Za-z0-9])(?:{begins}){rest}{ending}")


def _any_case(name: str, cues: tuple[str, ...], pattern: str) -> Shape:
    return Shape(name, cues, pattern, ignores_case=True)


_WORD = "[A-Za-z0-9_-]"
_VALUE = r"""[^\s"'&,;)}\]]"""

# Names whose value is a secret, in programs, headers, forms and query strings.
_NAMES = (
    "password|passwd|passphrase|pwd|secret|api_?key|apikey|access_?token|auth_?token|"
    "refresh_?token|id_?token|session_?token|csrf_?token|bearer_?token|credentials?|"
    "signing_?key|encryption_?key|private_?key|access_?key|account_?key|shared_?key|master_?key|"
    "shared_?access_?key|secret_?key|service_?key|deploy_?key|webhook_?key"
)
_NAME_CUES = (
    "pass", "pwd", "secret", "token", "credential", "key",
)  # fmt: skip

SHAPES: tuple[Shape, ...] = (
    # -------------------------------------------------------------- tokens of known issuers
    _token("outlast", "o7tk-", rest="[0-9a-f]{16,}"),
    _token("OpenAI, Anthropic and others", "sk-", rest=f"{_WORD}{{16,}}"),
    _token("GitHub", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", rest="[A-Za-z0-9]{20,}"),
    _token("GitHub, fine-grained", "github_pat_", rest="[A-Za-z0-9_]{20,}"),
    _token(
        "GitLab",
        "glpat-",
        "gldt-",
        "glrt-",
        "glptt-",
        "glcbt-",
        "glsoat-",
        "glft-",
        rest=f"{_WORD}{{16,}}",
    ),
    _token("Bitbucket and Atlassian", "ATATT3", "ATBB", "ATCTT3", rest="[A-Za-z0-9_=-]{20,}"),
    _token(
        "Slack", "xoxa-", "xoxb-", "xoxp-", "xoxr-", "xoxs-", "xapp-", rest=r"[A-Za-z0-9-]{10,}"
    ),
    _token("AWS key id", "AKIA", "ASIA", rest="[0-9A-Z]{16}", ending=r"\b"),
    _token("Google key", "AIza", rest=f"{_WORD}{{30,}}"),
    _token("Google OAuth", "ya29.", "GOCSPX-", rest=r"[A-Za-z0-9._-]{16,}"),
    _token(
        "Stripe",
        "sk_live_",
        "sk_test_",
        "rk_live_",
        "rk_test_",
        "whsec_",
        rest="[A-Za-z0-9+/=]{16,}",
    ),
    _token("Square", "sq0atp-", "sq0csp-", "EAAA", rest=f"{_WORD}{{22,}}"),
    _token("PayPal and Braintree", "access_token$", rest=r"[a-z]+\$[0-9a-z]{16}\$[0-9a-f]{32}"),
    _token("Twilio", "SK", rest="[0-9a-f]{32}", ending=r"\b"),
    _token("SendGrid", "SG.", rest=r"[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    _token("Mailgun", "key-", rest="[0-9a-f]{32}", ending=r"\b"),
    _token("npm", "npm_", rest="[A-Za-z0-9]{30,}"),
    _token("PyPI", "pypi-", rest=f"{_WORD}{{16,}}"),
    _token("RubyGems", "rubygems_", rest="[0-9a-f]{40,}"),
    _token("Docker", "dckr_pat_", "dckr_oat_", rest=f"{_WORD}{{16,}}"),
    _token("DigitalOcean", "dop_v1_", "doo_v1_", "dor_v1_", rest="[0-9a-f]{40,}"),
    _token("Hugging Face", "hf_", rest="[A-Za-z0-9]{24,}"),
    _token("Databricks", "dapi", rest="[0-9a-f]{32}", ending=r"(?:-\d)?\b"),
    _token("Grafana", "glsa_", "glc_", rest="[A-Za-z0-9_=+/-]{20,}"),
    _token("New Relic", "NRAK-", "NRJS-", rest="[A-Za-z0-9]{16,}"),
    _token("Sentry", "sntrys_", "sntryu_", rest="[A-Za-z0-9_=+/-]{20,}"),
    _token("Vault", "hvs.", "hvb.", "hvr.", rest=f"{_WORD}{{20,}}"),
    _token("Doppler", "dp.pt.", "dp.st.", "dp.ct.", rest=r"[A-Za-z0-9._-]{20,}"),
    _token("Shopify", "shpat_", "shpss_", "shpca_", "shppa_", rest="[0-9a-fA-F]{32}"),
    _token("Linear", "lin_api_", "lin_oauth_", rest="[A-Za-z0-9]{30,}"),
    _token("Notion", "ntn_", rest="[A-Za-z0-9]{30,}"),
    _token("Figma", "figd_", rest=f"{_WORD}{{30,}}"),
    _token("Postman", "PMAK-", rest="[0-9a-f]{24}-[0-9a-f]{34}"),
    _token("Cloudflare Origin CA", "v1.0-", rest="[0-9a-f]{24}-[0-9a-f]{100,}"),
    _token("age", "AGE-SECRET-KEY-1", rest="[0-9A-Z]{50,}"),
    Shape("Telegram bot", (":AA",), r"(?<!\d)\d{8,10}:AA[A-Za-z0-9_-]{32,}"),
    Shape(
        "JSON Web Token",
        ("eyJ",),
        r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]{5,})?",
    ),
    # A key may have been cut off: then all of it that is there goes.
    Shape(
        "private key",
        ("PRIVATE KEY",),
        (
            r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:[^-]{0,20000}-----END [A-Z0-9 ]{0,30}KEY(?: BLOCK)?-----"
            r"|[A-Za-z0-9+/=:,\s\\-]{0,20000})"
        ),
    ),
    # ------------------------------------------------------------------ headers and urls
    _any_case(
        "authorization",
        ("authorization", "basic ", "bearer ", "digest "),
        r"""
        (?P<kept>\b(?:(?:proxy-)?authorization["']?\s{0,3}[:=]\s{0,3}["']?
            (?:(?:basic|bearer|digest|token|apikey|negotiate|aws4-hmac-sha256|hmac|key)\s{1,3})?
          | (?:basic|bearer)\s{1,3}))
        (?:(?<=[Dd]igest\ )[^"'\r\n]*["'=A-Za-z0-9,\ ]*|[A-Za-z0-9._~+/=:,-]{12,})""",
    ),
    _any_case(
        "key in a header",
        ("x-", "api-key"),
        r"""
        (?P<kept>\b(?:x-)?(?:api-?key|auth-?token|access-?token|csrf-?token|amz-security-token|
            vault-token|gitlab-token|github-token|shopify-access-token|goog-api-key|functions-key)
        ["']?\s{0,3}[:=]\s{0,3}["']?)[^\s"'&,;)}\]]{6,}""",
    ),
    _any_case(
        "cookie",
        ("cookie",),
        r"""
        (?P<kept>\b(?:set-)?cookie["']?\s{0,3}:\s{0,3}["']?)[^\r\n"']{6,}""",
    ),
    Shape(
        "password in a url",
        ("://",),
        r"(?P<kept>://[^\s/:@\"']{0,100}:)[^\s/@\"']{1,200}(?=@)",
    ),
    Shape(
        "token in a url",
        ("://",),
        r"(?P<kept>://)(?![^\s/:@\"']{0,100}:)[A-Za-z0-9_.~+=-]{20,200}(?=@)",
    ),
    Shape(
        "webhook",
        ("hooks.", "/webhooks/"),
        (
            r"(?P<kept>hooks\.slack\.com/(?:services|workflows)/"
            r"|discord(?:app)?\.com/api/webhooks/\d+/"
            r"|webhook\.office\.com/webhookb2/|hooks\.zapier\.com/hooks/catch/)[A-Za-z0-9/_@.-]{8,}"
        ),
    ),
    _any_case(
        "signed url",
        ("signature", "sig=", "x-amz", "x-goog", "sig%3d"),
        r"""
        (?P<kept>[?&;](?:x-amz-(?:signature|credential|security-token)|
            x-goog-(?:signature|credential)|signature|sig|key-pair-id|policy)=)
        [^\s"'&\#<>]{6,}""",
    ),
    _any_case(
        "token in a query",
        ("token=", "key=", "code=", "auth="),
        r"""
        (?P<kept>[?&;](?:access_?token|auth|auth_?token|token|api_?key|key|sas_?token|code|
            client_secret|jwt)=)[^\s"'&\#<>]{8,}""",
    ),
    # ------------------------------------------------------------------------ by their name
    _any_case(
        "connection string",
        ("accountkey", "sharedaccesskey", "pwd=", "password="),
        r"""
        (?P<kept>\b(?:accountkey|sharedaccesskey|sharedaccesssignature|pwd|password)\s?=\s?)
        [^;"'\s]{6,}""",
    ),
    _any_case(
        "named",
        _NAME_CUES,
        rf"""
        (?P<kept>\b\w{{0,30}}(?:{_NAMES})\w{{0,10}}["']?\s{{0,3}}(?:[:=]|=>|:=)\s{{0,3}}["']?)
        (?!\[redacted){_VALUE}{{6,}}""",
    ),
)

SECRET_NAME = re.compile(
    r"SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|CREDENTIAL|(?:SIGNING|ENCRYPTION|PRIVATE|"
    r"ACCESS|ACCOUNT|SHARED|MASTER|SERVICE|DEPLOY|WEBHOOK|STORAGE)_?KEY|(?:^|_)(?:PASS|PWD|DSN)$",
    re.IGNORECASE,
)
"""Names of variables of the environment whose values are secrets."""
