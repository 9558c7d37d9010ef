"""Pickles that claim time or memory, and what is said of each."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ANY = "damaged or not a pickle"
DEEP, MANY = "nested deeper than 64 levels", "values of more than .* bytes in a pickle of"
KEY = "as a key or member of a set; allowed: text, bytes, real numbers"
NAME = b"cbuiltins\n%s\n"
PRIME = 2**61 - 1  # whole numbers this far apart have the same hash


@dataclass(frozen=True)
class Case:
    """A file, the reader of ``tests/untrusted/read_hostile.py`` that gets it, and part of the message.

    Attributes:
        make: called once, in the test; most files are a few bytes.
        says: None if the file is read.
    """

    name: str
    reader: str
    make: Callable[[], bytes]
    says: str | None


def number(value: int) -> bytes:
    """A whole number, LONG1."""
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def pickled(body: bytes) -> Callable[[], bytes]:
    return lambda: b"\x80\x02" + body + b"."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def array_of(dtype: bytes, shape: bytes, content: bytes) -> bytes:
    """An array, as numpy's protocol 2; the dtype's state says little endian."""
    kind = (
        b"cnumpy\ndtype\n"
        + text(dtype.decode())
        + b"K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    head = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    return head + b"(K\x01" + shape + kind + b"\x89" + content + b"tb"


DOUBLED = b"K\x01K\x02\x86" + b"2\x86" * 40  # a tuple of two tuples of two tuples ...
DEEP_TUPLE = b"N" + b"\x85" * 200_000
EIGHT = b"U\x08" + bytes(8)
LONG_TEXT = text("x" * 20_000)
SELECT = b"cchumpy.reordering\nSelect\n)\x81}(%s%s%s%su%s"  # chumpy's selection

PICKLES = (
    Case("a doubled tuple as key", "pickle", pickled(b"}" + DOUBLED + b"K\x01s"), f"a tuple {KEY}"),
    Case("a deep tuple as key", "pickle", pickled(b"}" + DEEP_TUPLE + b"K\x01s"), f"a tuple {KEY}"),
    Case("a tuple among keys", "pickle", pickled(b"}(" + DOUBLED + b"K\x01u"), f"a tuple {KEY}"),
    Case("a tuple as key, protocol 0", "pickle", pickled(b"(" + DOUBLED + b"K\x01d"), f"a tuple {KEY}"),
    Case("a tuple in a set", "pickle", lambda: b"\x80\x04\x8f(" + DOUBLED + b"\x90.", f"a tuple {KEY}"),
    Case("a deep tuple in a frozenset", "pickle", lambda: b"\x80\x04(" + DEEP_TUPLE + b"\x91.", f"a tuple {KEY}"),
    *(
        Case(f"a tuple through {kind.decode()}", "pickle", pickled(name + b"](" + item + b"e\x85R"), f"a tuple {KEY}")
        for kind, name, item in (
            (b"set", NAME % b"set", DOUBLED),
            (b"frozenset", NAME % b"frozenset", DOUBLED),
            (b"dict", NAME % b"dict", DOUBLED + b"N\x86"),
            (b"OrderedDict", b"ccollections\nOrderedDict\n", DOUBLED + b"N\x86"),
        )
    ),
    Case("a pair that is text", "pickle", pickled(NAME % b"dict" + b"](U\x02abe\x85R"), "a call of dict with a list"),
    Case("a complex key", "pickle", pickled(b"}" + NAME % b"complex" + b"K\x01K\x02\x86RNs"), f"a complex {KEY}"),
    Case("a key of long double", "pickle", lambda: pickle.dumps({np.longdouble(1): 1}), f"longdouble|float128.*{KEY}"),
    Case(
        "keys of equal hash",
        "pickle",
        pickled(b"}(" + b"".join(number(k * PRIME) + b"N" for k in range(99_999)) + b"u"),
        "a key of .* bits",
    ),
    Case(
        "memo places of equal hash",
        "pickle",
        pickled(b"N" + b"".join(b"p%d\n" % (k * PRIME) for k in range(99_999))),
        "the place .* in a memo",
    ),
    Case("a memo of 268 million places", "pickle", pickled(b"Nr\x00\x00\x00\x10"), "the place 268435456 in a memo"),
    Case(
        "a key as text and as bytes", "pickle", lambda: pickle.dumps({"a": 1, b"a": 2}), "one key as text and as bytes"
    ),
    Case("a key twice", "pickle", pickled(b"}(U\x01aNU\x01aNu"), "key 'a' twice in one dict"),
    Case("a deep tuple", "pickle", pickled(DEEP_TUPLE), DEEP),
    Case("a deep list", "pickle", pickled(b"]" * 5_000 + b"a" * 4_999), DEEP),
    Case("deep marks", "pickle", pickled(b"(" * 10**6), "more than 1,000 containers within each other"),
    Case("a deep object array", "pickle", pickled(array_of(b"O8", b"K\x01\x85", b"](" + DEEP_TUPLE + b"e")), DEEP),
    Case("a deep tuple as an array's shape", "pickle", pickled(array_of(b"f8", DEEP_TUPLE, EIGHT)), "a shape with"),
    Case(
        "a deep tuple as state", "pickle", pickled(b"cchumpy.ch\nCh\n)\x81" + DEEP_TUPLE + b"b"), "a chumpy expression"
    ),
    Case("deep stand-ins", "pickle", pickled(b"N" + b"q\x00cchumpy.ch\nCh\n)\x81}U\x01xh\x00sb" * 20_000), DEEP),
    Case("a list doubled 60 times", "pickle", pickled(b"]q\x00" + b"](h\x00h\x00eq\x00" * 60), MANY),
    Case("bytes of 3 GB", "pickle", lambda: b"\x80\x03B\xff\xff\xff\xbf.", ANY),
    Case("text of 3 GB", "pickle", lambda: b"\x80\x03X\xff\xff\xff\xbf.", ANY),
    Case("a frame of 3 GB", "pickle", lambda: b"\x80\x04\x95\xff\xff\xff\xbf\x00\x00\x00\x00N.", None),
    Case("bytes of 2**60", "pickle", lambda: b"\x80\x04\x8e" + b"\x00" * 7 + b"\x10.", ANY),
    Case(
        "a byte array of 3 GB", "pickle", lambda: b"\x80\x05\x96\xff\xff\xff\xbf\x00\x00\x00\x00.", "3221225471|claimed"
    ),
    Case("a number of 2 GB", "pickle", lambda: b"\x80\x02\x8b\xff\xff\xff\x7f.", "a number of 2,147,483,647 bytes"),
    Case("a buffer elsewhere", "pickle", lambda: b"\x80\x05\x97.", "out-of-band|buffers"),
    Case("an extension", "pickle", pickled(b"\x82\x01"), "extension code 1"),
    Case("a persistent name", "pickle", pickled(b"U\x01aQ"), "persistent"),
    Case("a call with keywords", "pickle", lambda: b"\x80\x04cbuiltins\nobject\n)}\x92.", "a call with keywords"),
    Case("digits, a line", "pickle", lambda: b"I" + b"9" * 10**6 + b"\n.", "a number of 1,000,000 digits"),
    Case("digits, a long line", "pickle", lambda: b"L" + b"9" * 10**6 + b"L\n.", "a number of 1,000,001 digits"),
    Case("digits of a float", "pickle", lambda: b"F" + b"9" * 10**6 + b"\n.", "a number of 1,000,000 digits"),
    Case(
        "digits, a call",
        "pickle",
        pickled(NAME % b"int" + text("9" * 10**6) + b"\x85R"),
        "a number of 1,000,000 digits",
    ),
    Case("str of bytes", "pickle", lambda: b"\x80\x03cbuiltins\nstr\nC\x01a\x85R.", "a call of str with b'a'"),
    Case(
        "str of bytes, nested",
        "pickle",
        lambda: b"\x80\x03" + NAME % b"str" * 90 + b"C\x01\x00" + b"\x85R" * 90 + b".",
        "a call of str",
    ),
    Case(
        "text in an odd encoding",
        "pickle",
        lambda: b"\x80\x03cbuiltins\nbytes\nX\x01\x00\x00\x00aX\x08\x00\x00\x00punycode\x86R.",
        "a call of bytes with 'a', 'punycode'",
    ),
    Case(
        "lists of a list",
        "pickle",
        pickled(NAME % b"list" + b"q\x00](" + b"K\x01" * 20_000 + b"eq\x010](" + b"h\x00h\x01\x85R" * 20_000 + b"e"),
        MANY,
    ),
    Case(
        "states of a state",
        "pickle",
        pickled(
            b"}("
            + b"".join(text(f"k{k}") + b"N" for k in range(20_000))
            + b"uq\x010cchumpy.ch\nCh\n)\x81"
            + b"h\x01b" * 99_999
        ),
        MANY,
    ),
    Case(
        "arrays of one buffer",
        "pickle",
        pickled(
            b"T"
            + struct.pack("<I", 10**6)
            + bytes(10**6)
            + b"q\x010]("
            + array_of(b"b1", number(10**6) + b"\x85", b"h\x01") * 2_000
            + b"e"
        ),
        MANY,
    ),
    Case("empty sets", "pickle", lambda: b"\x80\x04](" + b"\x8f" * 10**6 + b"e.", MANY),
    Case("a memo of one value", "pickle", lambda: b"\x80\x04N" + b"\x94" * 10**6 + b".", MANY),
    Case(
        "a shape of 5 000 numbers",
        "pickle",
        pickled(array_of(b"f8", b"(" + number(2**2000) * 5_000 + b"t", EIGHT)),
        "a shape that is a tuple of 5000 sides",
    ),
    Case(
        "a shape of wide numbers",
        "pickle",
        pickled(array_of(b"f8", b"(" + number(2**2000) * 64 + b"t", EIGHT)),
        "a shape with the side",
    ),
    Case("a shape of text", "pickle", pickled(array_of(b"f8", b"U\x011", EIGHT)), "a shape that is a str"),
    Case(
        "an order that is a tuple",
        "pickle",
        pickled(b"cnumpy\ndtype\nU\x02f8\x85R(K\x03" + DOUBLED + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"),
        "a tuple in place of a name",
    ),
    Case(
        "a wide selection",
        "pickle",
        pickled(
            SELECT
            % (
                b"U\x01a",
                array_of(b"S50000", b"K\x01\x85", b"T" + struct.pack("<I", 50_000) + bytes(50_000)),
                b"U\x04idxs",
                array_of(b"i1", number(200_000) + b"\x85", b"T" + struct.pack("<I", 200_000) + bytes(200_000)),
                b"b",
            )
        ),
        MANY,
    ),
    Case(
        "a list of texts as numbers",
        "fit",
        pickled(b"}U\x06transl](" + LONG_TEXT + b"U\x01aq\x01" + b"h\x01" * 10_000 + b"es"),
        "a list that holds str",
    ),
    Case(
        "a list of one array",
        "fit",
        pickled(
            b"}U\x06transl]("
            + array_of(b"f8", number(10**5) + b"\x85", b"T" + struct.pack("<I", 800_000) + bytes(800_000))
            + b"q\x01"
            + b"h\x01" * 1_000
            + b"es"
        ),
        MANY,
    ),
    Case("a fit of 33 MB", "fit", lambda: bytes(33 << 20), "has 34,603,008 bytes, such a file has at most 33,554,432"),
)
