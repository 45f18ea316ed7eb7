"""Protobuf's wire format, as far as files of weights need it: a message taken apart into its fields.

The encoding is that of https://protobuf.dev/programming-guides/encoding: nothing in it can carry code.
"""

import struct
from typing import Any

Fields = dict[int, list[Any]]  # field number -> its values: int for varints, bytes for the rest

# What foreign bytes lead to: short reads, missing fields, strings that are no text, numbers for messages.
UNREADABLE = (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error)


def message(data: bytes) -> Fields:
    """Split one message into its fields; nothing is decoded further. Raises one of UNREADABLE."""
    fields: Fields = {}
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value: int | bytes
            value, at = varint(data, at)
        elif wire == 2:
            size, at = varint(data, at)
            value, at = take(data, at, size)
        elif wire in (1, 5):
            value, at = take(data, at, 8 if wire == 1 else 4)
        else:
            raise ValueError(f"protobuf wire type {wire}")
        fields.setdefault(number, []).append(value)
    return fields


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at byte `at`, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):  # ten bytes at most
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("an endless number")


def take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    """The `size` bytes from `at` on, and where they end. Raises ValueError where fewer are left."""
    if at + size > len(data):
        raise ValueError(f"{len(data) - at} bytes where {size} should follow")
    return data[at : at + size], at + size


def signed(value: int) -> int:
    """A varint as the int64 that it stands for."""
    return value - (1 << 64) if value >> 63 else value
