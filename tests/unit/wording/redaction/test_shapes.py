"""The corpus of secrets that stray into texts: each is taken out, and what only looks so stays."""

from __future__ import annotations

import pytest

from outlast._wording.redaction import REDACTED, redact
from outlast._wording.redaction.shapes import SECRET_NAME, SHAPES

HEX = "0123456789abcdef" * 4
WORD = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0fG" * 2

# The text, and the part of it that must go. The tokens are made up.
CORPUS: list[tuple[str, str]] = [
    (f"o7tk-{HEX}", HEX),
    (f"sk-{WORD}", WORD),
    (f"sk-ant-api03-{WORD}", WORD),
    (f"ghp_{WORD[:36]}", WORD[:36]),
    (f"github_pat_{WORD[:22]}_{WORD}", WORD),
    (f"glpat-{WORD[:20]}", WORD[:20]),
    (f"ATATT3xFfGF0{WORD}=ABC", WORD),
    (f"xoxb-1234567890-{WORD[:24]}", WORD[:24]),
    ("key id AKIAIOSFODNN7EXAMPLE", "IOSFODNN7EXAMPLE"),
    (f"AIza{WORD[:35]}", WORD[:35]),
    (f"ya29.{WORD}", WORD),
    (f"GOCSPX-{WORD[:28]}", WORD[:28]),
    (f"sk_live_{WORD[:24]}", WORD[:24]),
    (f"rk_test_{WORD[:24]}", WORD[:24]),
    (f"whsec_{WORD[:32]}", WORD[:32]),
    (f"sq0atp-{WORD[:22]}", WORD[:22]),
    (f"SK{HEX[:32]}", HEX[:32]),
    (f"SG.{WORD[:22]}.{WORD[:43]}", WORD[:43]),
    (f"key-{HEX[:32]}", HEX[:32]),
    (f"npm_{WORD[:36]}", WORD[:36]),
    (f"pypi-AgEIcHlwaS5vcmc{WORD}", WORD),
    (f"dckr_pat_{WORD[:27]}", WORD[:27]),
    (f"dop_v1_{HEX}", HEX),
    (f"hf_{WORD[:34]}", WORD[:34]),
    (f"dapi{HEX[:32]}", HEX[:32]),
    (f"glsa_{WORD[:32]}_12345678", WORD[:32]),
    (f"NRAK-{WORD[:27].upper()}", WORD[:27].upper()),
    (f"sntrys_{WORD}", WORD),
    (f"hvs.{WORD}", WORD),
    (f"dp.pt.{WORD[:43]}", WORD[:43]),
    (f"shpat_{HEX[:32]}", HEX[:32]),
    (f"lin_api_{WORD[:40]}", WORD[:40]),
    (f"figd_{WORD[:40]}", WORD[:40]),
    (f"12345678:AA{WORD[:33]}", WORD[:33]),
    (f"eyJhbGciOiJIUzI1NiJ9.{WORD}.{WORD}", WORD),
    (f"-----BEGIN RSA PRIVATE KEY-----\n{WORD}\n-----END RSA PRIVATE KEY-----", WORD),
    (f"-----BEGIN OPENSSH PRIVATE KEY-----\n{WORD}\n{WORD}", WORD),
    (f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{WORD}\n-----END PGP PRIVATE KEY BLOCK-----", WORD),
    (f"Authorization: Bearer {WORD}", WORD),
    (f"authorization: Basic {WORD[:24]}==", WORD[:24]),
    (f"{{'Authorization': 'Token {WORD[:40]}'}}", WORD[:40]),
    (f"Proxy-Authorization: Basic {WORD[:24]}", WORD[:24]),
    ("Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
    (f"X-Api-Key: {WORD[:20]}", WORD[:20]),
    (f'"x-api-key": "{WORD[:20]}"', WORD[:20]),
    (f"api-key={WORD[:20]}", WORD[:20]),
    (f"X-Auth-Token: {HEX[:32]}", HEX[:32]),
    (f"X-Vault-Token: {WORD[:20]}", WORD[:20]),
    (f"Cookie: session={WORD[:20]}; theme=dark", WORD[:20]),
    (f"Set-Cookie: sid={HEX[:32]}; HttpOnly", HEX[:32]),
    ("postgres://shop:hunter2@db.example/shop", "hunter2"),
    ("redis://:hunter22@cache.example:6379", "hunter22"),
    (f"https://{WORD[:40]}@github.example/x.git", WORD[:40]),
    (f"https://hooks.slack.com/services/T00000000/B00000000/{WORD[:24]}", WORD[:24]),
    (f"https://discord.com/api/webhooks/1234567890/{WORD}", WORD),
    (f"https://b.example/x?X-Amz-Date=1&X-Amz-Signature={HEX}&y=1", HEX),
    (f"https://b.example/x?X-Goog-Signature={HEX}", HEX),
    (f"https://a.example/c?sv=2024&sig={WORD[:40]}%3D&se=1", WORD[:40]),
    (f"https://cdn.example/x?Signature={WORD[:40]}&Key-Pair-Id=K123", WORD[:40]),
    (f"https://x.example/y?access_token={WORD[:30]}", WORD[:30]),
    (f"https://x.example/y?a=1&key={WORD[:30]}", WORD[:30]),
    (f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={WORD}==;x=1", WORD),
    (f"Endpoint=sb://x/;SharedAccessKey={WORD}=", WORD),
    ("Server=db;Database=x;Uid=a;Pwd=hunter22;", "hunter22"),
    ("password=hunter22", "hunter22"),
    ("DB_PASSWORD: hunter22", "hunter22"),
    ('{"client_secret": "abcdef1234"}', "abcdef1234"),
    (f"SIGNING_KEY={WORD[:32]}", WORD[:32]),
    (f"encryption_key => '{WORD[:32]}'", WORD[:32]),
    (f"aws_secret_access_key = {WORD[:40]}", WORD[:40]),
    (f"PRIVATE_KEY={WORD[:32]}", WORD[:32]),
    (f"refresh_token: {WORD[:32]}", WORD[:32]),
    ("passphrase='correct-horse'", "correct-horse"),
]

HARMLESS = [
    "",
    "unexpected token: identifier",
    "run 'a' failed: KeyError: 'b'",
    "password is too short",
    "the key of the map is missing",
    "cookie jar",
    "Basic arithmetic failed",
    "bearer of bad news",
    "no such file: /srv/secrets/readme",
    "https://example.com/a?page=2&sort=name#part",
    "https://docs.example/authorization: how it works",
    "mailto:ann@example.com and http://example.com:8080/x@y",
    "step 'charge' of shop.checkout failed after 3 attempts: TimeoutError",
    "commit 5f2b1c8e9d0a4b7c6e3f8a1d2c4b6e8f0a1b2c3d",
    "b2c3d4e5-0000-7000-8000-aabbccddeeff",
    "-----BEGIN CERTIFICATE-----",
    "sk-learn is a library; ask-me-anything; task-0123456789abcdef01",
    "SKU 123 is sold out",
    "monkey: 12345678",
    "KeyError: 'signing_keys'",
]


@pytest.mark.parametrize(("text", "secret"), CORPUS)
def test_a_secret_of_the_corpus_is_taken_out_and_once_is_enough(text: str, secret: str) -> None:
    shown = redact(f"before {text} after")

    assert secret not in shown
    assert REDACTED in shown
    assert shown.startswith("before ")
    assert redact(shown) == shown


@pytest.mark.parametrize("text", HARMLESS)
def test_a_text_without_secrets_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_what_is_around_a_secret_stays() -> None:
    shown = redact("GET https://x.example/y?a=1&access_token=abcdefgh12345678&b=2 gave 403")
    assert shown == f"GET https://x.example/y?a=1&access_token={REDACTED}&b=2 gave 403"
    assert redact("postgres://shop:hunter2@db/x") == f"postgres://shop:{REDACTED}@db/x"
    assert redact("X-Api-Key: abcdef123456, Accept: */*") == f"X-Api-Key: {REDACTED}, Accept: */*"


def test_every_shape_is_in_the_corpus() -> None:
    found = {shape.name for shape in SHAPES for text, _ in CORPUS if shape.pattern.search(text)}
    rare = {"Bitbucket and Atlassian", "PayPal and Braintree", "RubyGems", "Notion", "Postman",
            "Cloudflare Origin CA", "age"}  # fmt: skip
    assert {shape.name for shape in SHAPES} - found <= rare


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [("SIGNING_KEY", True), ("DB_PASS", True), ("GITHUB_TOKEN", True), ("SENTRY_DSN", True),
     ("AWS_ACCESS_KEY_ID", True), ("PATH", False), ("SORT_KEY", False), ("PASSENGERS", False),
     ("KEYBOARD", False)],
)  # fmt: skip
def test_names_of_the_environment_that_say_so_are_secret(name: str, is_secret: bool) -> None:
    assert bool(SECRET_NAME.search(name)) is is_secret
