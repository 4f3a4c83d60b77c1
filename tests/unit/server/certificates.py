"""A certificate that signed itself, for 127.0.0.1 and localhost, valid for a hundred years.

It is nobody's: the key is here so that tests need no program that makes one.
"""

from __future__ import annotations

from pathlib import Path

from outlast._server.tcp import Tls

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBoDCCAUagAwIBAgIUOM4kO17nYvj0l4hGllZ27DtUR2kwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNb3V0bGFzdCB0ZXN0czAgFw0yNjExMjMxMDIyMTVaGA8yMTI2
MTAzMDEwMjIxNVowGDEWMBQGA1UEAwwNb3V0bGFzdCB0ZXN0czBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABAdp4lm2gXp+tQyEjKLlgmQ10Wde/PXFApK1POZhT0Fu
HWvU+GiYGlhIDibtCnjmkExh6SBXGmkm4zITweybIMGjbDBqMB0GA1UdDgQWBBRG
HvtiV0H01InOaaqY9VgRh2gQbzAfBgNVHSMEGDAWgBRGHvtiV0H01InOaaqY9VgR
h2gQbzAaBgNVHREEEzARhwR/AAABgglsb2NhbGhvc3QwDAYDVR0TAQH/BAIwADAK
BggqhkjOPQQDAgNIADBFAiA4WcaTj99jSR5opvanY5ipRnljttkIgw28Xd0vrN6b
jgIhAPgDcDSsCWL9NQ9nXm2hAe3BVEsirJ1N4FkCEoUznNLn
-----END CERTIFICATE-----
"""

KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCWMRV2/9IAqNSsEx
I2dg668SJnh03p/ulZcop1OezGihRANCAAQHaeJZtoF6frUMhIyi5YJkNdFnXvz1
xQKStTzmYU9Bbh1r1PhomBpYSA4m7Qp45pBMYekgVxppJuMyE8HsmyDB
-----END PRIVATE KEY-----
"""


def self_signed(directory: Path) -> Tls:
    """Return the certificate and its key, as files in a directory."""
    found = Tls(directory / "certificate.pem", directory / "key.pem")
    found.certificate.write_text(CERTIFICATE)
    found.key.write_text(KEY)
    return found
