"""What `codec=` takes."""

from __future__ import annotations

import sys

import pytest

from outlast._codec.stored.layers import codec_of
from outlast.encryption import CodecLayer, Keys, compressed, encrypted
from outlast.errors import UsageError

KEYS = Keys({"k1": bytes(32)})


def test_layers_are_given_alone_or_in_order() -> None:
    one, both = codec_of(encrypted(KEYS)), codec_of([compressed(), encrypted(KEYS)])

    assert codec_of(None) is None
    assert one is not None
    assert not one.is_compressing
    assert both is not None
    assert both.is_compressing
    assert repr(both) == "[compressed(), encrypted('k1')]"


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([encrypted(KEYS), compressed()], "put compressed\\(\\) first"),
        ([compressed(), compressed()], "has the layer compressed\\(\\) twice"),
        ([encrypted(KEYS), encrypted(KEYS)], "has the layer encrypted\\('k1'\\) twice"),
        ([], "takes layers of outlast.encryption"),
    ],
)
def test_layers_that_make_no_sense_are_refused(layers: list[CodecLayer], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        codec_of(layers)


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "outlast._codec.stored.aesgcm", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)

    with pytest.raises(UsageError, match=r"pip install 'outlast\[crypto\]'"):
        encrypted(KEYS)
