#!/usr/bin/env python3
"""Opens one sealed field, given the KEK. Written from docs/SECURITY.md alone; shares no code with the server.

Needs the package `cryptography`, and `zstandard` for fields that were compressed. The KEK is read from the environment
variable KEK_SECRET or from --kek-file, because command lines are visible to other users of a machine.

A team's field:        open_field.py --team-id T --team-key W --table T --row-id R --column C SEALED
A secret of no team:   open_field.py --table T --row-id R --column C SEALED
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


def split_wrapped(text):
    """The wrapping key's id, the nonce, and the key's ciphertext with its tag."""
    data = unbase64url(text)
    if len(data) != 64:
        raise Refused("a wrapped key has 64 bytes")
    return data[:4], data[4:16], data[16:]


def open_field(kek, team_id, wrapped_team_key, table, row_id, column, sealed):
    """The content of a sealed field. Without a team key, the field is one of no team."""
    parts = sealed.split(":")
    if len(parts) != 4 or parts[0] != "v1":
        raise Refused("not a sealed field of version v1")
    nonce, ciphertext = unbase64url(parts[1]), unbase64url(parts[3])
    if len(nonce) != 12:
        raise Refused("the nonce has 12 bytes")
    key_id, dek_nonce, sealed_dek = split_wrapped(parts[2])
    kek_id = hashlib.sha256(kek).digest()[:4]

    if wrapped_team_key is None:
        team_id, wrapped_by, key = "", key_id, kek
    else:
        wrapped_by, team_nonce, sealed_key = split_wrapped(wrapped_team_key)
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
    parser.add_argument("sealed", help="the sealed field")
    args = parser.parse_args()
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
        content = open_field(
            kek, args.team_id, args.team_key, args.table, args.row_id, args.column, args.sealed
        )
    except Refused as error:
        sys.exit(f"open_field: {error}")
    sys.stdout.buffer.write(content)


if __name__ == "__main__":
    main()
