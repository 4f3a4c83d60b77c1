"""What stored bodies pass through: `codec=` of `Engine.open` and of `App`.

    keys = keys_from_file("outlast.keys")
    engine = Engine.open("outlast.db", codec=encrypted(keys))

Everything that a value of yours can get into is then encrypted before it reaches the disk. Ids,
names, times, statuses and attributes are not, because they are searched.
"""

from __future__ import annotations

from outlast._codec.stored.keys import Keys, KeySource, keys_from_environment, keys_from_file
from outlast._codec.stored.layers import CodecLayer, Compressed, Encrypted, compressed, encrypted

__all__ = [
    "CodecLayer",
    "Compressed",
    "Encrypted",
    "KeySource",
    "Keys",
    "compressed",
    "encrypted",
    "keys_from_environment",
    "keys_from_file",
]
