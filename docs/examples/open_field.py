#!/usr/bin/env python3
"""Opens one sealed field or segment, given the KEK. Written from docs/SECURITY.md alone; no code is the server's.

Needs the package `cryptography`, and `zstandard` for fields that were compressed. The KEK is read from the environment
variable KEK_SECRET or from --kek-file, because command lines are visible to other users of a machine.

A team's field:        open_field.py --team-id T --team-key W --table T --row-id R --column C SEALED
A secret of no team:   open_field.py --table T --row-id R --column C SEALED
The binary form:       open_field.py … --binary NONCE WRAPPED_DEK CIPHERTEXT   (hexadecimal; \\x in front is ignored)
A segment's lines:     open_field.py … --binary --list --first-ordinal N --min-line N NONCE WRAPPED_DEK CIPHERTEXT

--list prints ordinal, line number and text of each line, separated by colons. Without SEALED or the three columns, they
are read from standard input, because a segment can be longer than an argument may be.
"""

import argparse
import base64
import hashlib
import os
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAX_CONTENT = 64 << 20


class Refused(Exception):
    """The value is not what its format says, or does not open."""


def unbase64url(text):
    """Unpadded base64url, refused unless it is the one text its bytes have."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise Refused(f"not base64url: {error}") from error
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise Refused("not unpadded base64url, or its trailing bits are not zero")
    return data


def read_kek(text):
    """32 bytes of base64 in either alphabet, padded or not."""
    return unbase64url(text.strip().replace("+", "-").replace("/", "_").removesuffix("="))


def aad(team_id, table, row_id, column):
    # bytes.lower() lowercases the ASCII letters only.
    parts = [team_id.encode().lower(), table.encode(), row_id.encode().lower(), column.encode()]
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def decrypt(what, key, nonce, ciphertext, associated):
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, associated)
    except (InvalidTag, ValueError) as error:
        raise Refused(f"{what} does not open: changed, of another place, or under another key") from error


def unhex(text):
    try:
        return bytes.fromhex(text.removeprefix("\\x"))
    except ValueError as error:
        raise Refused(f"not hexadecimal: {error}") from error


def text_form(sealed):
    """Nonce, wrapped DEK and ciphertext of a sealed field."""
    parts = sealed.split(":")
    if len(parts) != 4 or parts[0] != "v1":
        raise Refused("not a sealed field of version v1")
    return tuple(map(unbase64url, parts[1:]))


def split_wrapped(data):
    """The wrapping key's id, the nonce, and the key's ciphertext with its tag."""
    if len(data) != 64:
        raise Refused("a wrapped key has 64 bytes")
    return data[:4], data[4:16], data[16:]


def open_field(kek, team_id, wrapped_team_key, table, row_id, column, sealed):
    """The content of (nonce, wrapped DEK, ciphertext). Without a team key, the value is one of no team."""
    nonce, wrapped_dek, ciphertext = sealed
    if len(nonce) != 12:
        raise Refused("the nonce has 12 bytes")
    if len(ciphertext) < 17:
        raise Refused("the ciphertext has at least 17 bytes")
    key_id, dek_nonce, sealed_dek = split_wrapped(wrapped_dek)
    kek_id = hashlib.sha256(kek).digest()[:4]

    if wrapped_team_key is None:
        team_id, wrapped_by, key = "", key_id, kek
    else:
        wrapped_by, team_nonce, sealed_key = split_wrapped(unbase64url(wrapped_team_key))
        version = int.from_bytes(key_id, "big")
        place = aad(team_id, "team_keys", str(version), "key")
    if wrapped_by != kek_id:
        raise Refused(f"wrapped by the KEK {wrapped_by.hex()}; the one given is {kek_id.hex()}")
    if wrapped_team_key is not None:
        key = decrypt(f"the team key (version {version} is needed)", kek, team_nonce, sealed_key, place)

    place = aad(team_id, table, row_id, column)
    dek = decrypt("the DEK", key, dek_nonce, sealed_dek, place)
    flagged = decrypt("the content", dek, nonce, ciphertext, place)
    flag, content = flagged[:1], flagged[1:]
    if flag == b"\0":
        return content
    if flag != b"\1":
        raise Refused("the flag is neither 0 nor 1")

    import zstandard

    try:
        size = zstandard.frame_content_size(content)
        if not 0 <= size <= MAX_CONTENT:
            raise Refused(f"the content declares no size, or more than {MAX_CONTENT} bytes")
        return zstandard.ZstdDecompressor().decompress(content)
    except zstandard.ZstdError as error:
        raise Refused(f"not a zstd frame: {error}") from error


def varint(content, at):
    """An unsigned number in LEB128 in its shortest form, and the place after it."""
    number = 0
    for index, byte in enumerate(content[at : at + 10]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if (byte == 0 and index > 0) or number >= 1 << 64:
                break
            return number, at + index + 1
    raise Refused("a number is cut off, longer than necessary, or has more than 64 bits")


def entries(content, first_ordinal, min_line):
    """Yields (ordinal, line number, text) for each line of a segment's content."""
    if content[:1] != b"\1":
        raise Refused("the content is not that of a segment, version 1")
    count, at = varint(content, 1)
    table = []
    ordinal, line = first_ordinal, min_line - 1
    for index in range(count):
        delta, at = varint(content, at)
        if (delta == 0) != (index == 0):
            raise Refused("the ordinals do not begin with that of the row and increase")
        jump, at = varint(content, at)
        length, at = varint(content, at)
        ordinal += delta
        line += 1 + ((jump >> 1) ^ -(jump & 1))
        table.append((ordinal, line, length))
    if count == 0 or at + sum(length for _, _, length in table) != len(content):
        raise Refused("the lengths of the lines do not add up to the content")
    if min(line for _, line, _ in table) != min_line:
        raise Refused("the line numbers do not begin with that of the row")
    for ordinal, line, length in table:
        yield ordinal, line, content[at : at + length]
        at += length


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kek-file", help="file that holds the KEK in base64 (default: variable KEK_SECRET)")
    parser.add_argument("--team-id", help="the team; with --team-key")
    parser.add_argument("--team-key", help="team_keys.wrapped of the content key the field names")
    parser.add_argument("--table", required=True)
    parser.add_argument("--row-id", required=True, help="as docs/SECURITY.md lists it for the column")
    parser.add_argument("--column", required=True)
    parser.add_argument("--binary", action="store_true", help="the value is in three columns")
    parser.add_argument("--list", action="store_true", help="list the lines of a segment")
    parser.add_argument("--first-ordinal", type=int, help="segments.first_ordinal; with --list")
    parser.add_argument("--min-line", type=int, help="segments.min_line; with --list")
    parser.add_argument("sealed", nargs="*", help="the sealed field, or its three columns")
    args = parser.parse_args()
    sealed = args.sealed or sys.stdin.read().split()
    if len(sealed) != (3 if args.binary else 1):
        parser.error("give one sealed field, or with --binary its three columns")
    if args.list != (args.first_ordinal is not None) or args.list != (args.min_line is not None):
        parser.error("--list, --first-ordinal and --min-line go together")
    if (args.team_id is None) != (args.team_key is None):
        parser.error("--team-id and --team-key go together")
    if args.kek_file:
        with open(args.kek_file, encoding="ascii") as file:
            secret = file.read()
    else:
        secret = os.environ.get("KEK_SECRET", "")
    try:
        kek = read_kek(secret)
        if len(kek) != 32:
            raise Refused("the KEK (KEK_SECRET or --kek-file) is base64 of exactly 32 bytes")
        parts = tuple(map(unhex, sealed)) if args.binary else text_form(sealed[0])
        content = open_field(
            kek, args.team_id, args.team_key, args.table, args.row_id, args.column, parts
        )
        if args.list:
            lines = entries(content, args.first_ordinal, args.min_line)
            content = b"".join(b"%d:%d:%s\n" % line for line in lines)
    except Refused as error:
        sys.exit(f"open_field: {error}")
    sys.stdout.buffer.write(content)


if __name__ == "__main__":
    main()
