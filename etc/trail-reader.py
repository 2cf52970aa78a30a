#!/usr/bin/env python3
"""Reads a Sallyport trail by its format document alone (top of src/recording/container.ts), with Python's standard
library; signatures are checked by the openssl command. It shares no code with Sallyport, which is its point.

    trail-reader.py [--key signing.pub]... [--quiet] FILE...

Prints one line per record and one line of verdict per file: `complete`, `recovered`, `cut` or `bad: why`. Exit 0 only
if all are complete or recovered. Without --key signatures are not checked, and the verdict says so with exit 1."""
import argparse, hashlib, json, struct, subprocess, sys, tempfile, uuid, zlib

KINDS = {1: "header", 2: "checkpoint", 3: "note", 16: "stdin", 17: "stdout", 18: "stderr", 19: "extended-data",
         32: "forward-request", 33: "reverse-request", 34: "forward-reply", 35: "reverse-reply",
         40: "forward-global-request", 41: "reverse-global-request", 42: "forward-global-reply",
         43: "reverse-global-reply", 48: "forward-new-channel-request", 49: "reverse-new-channel-request",
         50: "forward-new-channel-reply", 51: "reverse-new-channel-reply", 64: "window", 65: "eof", 66: "close",
         80: "login", 81: "policy", 82: "transport", 96: "file", 97: "channel-digest", 112: "ledger-start",
         113: "ledger-end", 114: "ledger-recovered", 115: "audit-head", 127: "other"}
STREAMS = {16: 0, 17: 1, 18: 2}
NONE = 2**64 - 1


class Bad(Exception):
    pass


def need(condition, why):
    if not condition:
        raise Bad(why)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def openssl(message, signature, pem):
    with tempfile.NamedTemporaryFile() as m, tempfile.NamedTemporaryFile() as s:
        m.write(message), m.flush(), s.write(signature), s.flush()
        return subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", pem, "-rawin", "-in", m.name,
                               "-sigfile", s.name], capture_output=True).returncode == 0


def key_id(pem):
    der = subprocess.run(["openssl", "pkey", "-pubin", "-in", pem, "-outform", "DER"], capture_output=True, check=True)
    return sha256(der.stdout[-32:])


class Trail:
    def __init__(self, path, keys):
        self.file, self.keys = open(path, "rb"), keys
        self.position, self.ordinal, self.us = 0, 0, 0
        self.previous = self.checkpoint = NONE
        self.offsets, self.chain = [0, 0, 0], bytes(32)
        self.header = self.header_digest = self.end = self.live = None

    def blocks(self):
        """Yields the records of each block; returns at the end of the file, raises Bad or EOFError."""
        while head := self.file.read(128):
            if len(head) < 128:
                raise EOFError
            magic, crc, length, codec, zero, at, previous, checkpoint, stored = struct.unpack(">4sIIB3sQQQ32s", head[:72])
            first, first_us, last_us, *offsets, count, zero2 = struct.unpack(">QQQQQQII", head[72:])
            need(magic == b"SALB" and 1 <= count <= 256 and 0 <= length - 128 - 64 * count <= 2**20, "not a block")
            heads = self.file.read(48 * count)
            if len(heads) < 48 * count:
                raise EOFError
            need(zlib.crc32(head[8:] + heads) == crc, "checksum")
            need(codec == 0 and zero == bytes(3) and zero2 == 0 and stored == bytes(32), "reserved or unknown codec")
            need((at, previous, checkpoint) == (self.position, self.previous, self.checkpoint), "positions")
            need((first, offsets) == (self.ordinal, self.offsets) and first_us >= self.us, "ordinal, offsets or time")
            area = self.file.read(length - 128 - 48 * count)
            if len(area) < length - 128 - 48 * count:
                raise EOFError
            yield from self.records(head, heads, area, first_us, last_us)
            self.chain = sha256(self.chain, head[72:], heads)
            self.previous, self.position = at, at + length

    def records(self, head, heads, area, first_us, last_us):
        need(self.end is None, "something follows the end")
        us, at, count = first_us, 0, len(heads) // 48
        for i in range(count):
            kind, direction, fate, code, length, when, commitment = struct.unpack(">BBBBIQ32s", heads[48 * i:48 * i + 48])
            salt, payload = area[at:at + 16], area[at + 16:at + 16 + length]
            at += 16 + length
            need(kind > 0 and direction <= 2 and 1 <= fate <= 4, "record head")
            need(len(payload) == length and sha256(salt, payload) == commitment, "payload and commitment differ")
            need(when >= us and (i > 0 or when == first_us), "time")
            need((kind == 1) == (self.ordinal == 0), "header")
            us = when
            if kind == 1:
                self.header, self.header_digest = json.loads(payload), sha256(payload)
                need(self.header["format"] == 1, "format version")
            if kind == 2:
                need(count == 1 and salt == bytes(16) and (direction, fate) == (0, 3), "checkpoint's place")
                self.check(payload, code, when)
                self.checkpoint = self.position
            yield self.ordinal, when, kind, direction, fate, code, payload
            if kind in STREAMS:
                self.offsets[STREAMS[kind]] += length
            self.ordinal += 1
        need(us == last_us and at == len(area), "last time or length")
        self.us = us

    def check(self, payload, code, when):
        chain, records, us, wall, flag, zero = struct.unpack(">32sQQQB7s", payload[:64])
        key, instance, digest, *offsets, size = struct.unpack(">32s16s32sQQQI", payload[64:172])
        need(len(payload) == 172 + size + 64 and zero == bytes(7) and flag == code <= 2, "checkpoint's form")
        need((chain, records, us) == (self.chain, self.ordinal, when), "checkpoint's chain, count or time")
        need(offsets == self.offsets and digest == self.header_digest, "checkpoint's offsets or header")
        need(flag == 2 or uuid.UUID(bytes=instance) == uuid.UUID(self.header["instance"]), "checkpoint's instance")
        if self.keys:
            need(key in self.keys, "signed by an unknown key")
            need(openssl(b"sallyport checkpoint v1\0" + payload[:-64], payload[-64:], self.keys[key]), "signature")
        detail = json.loads(payload[172:-64])
        if flag == 0:
            self.live = {"position": self.position, "us": us, "ordinal": self.ordinal}
        else:
            self.end = ("complete", "recovered")[flag - 1]
        if flag == 2:
            live = self.live and {"position": self.live["position"], "us": self.live["us"]}
            after = self.ordinal - (self.live["ordinal"] + 1 if self.live else 0)
            need((detail["live"], detail["recordsAfter"]) == (live, after), "recovered checkpoint")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--key", action="append", default=[])
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    keys, good = {key_id(pem): pem for pem in args.key}, True
    for path in args.files:
        trail = Trail(path, keys)
        try:
            for ordinal, us, kind, direction, fate, code, payload in trail.blocks():
                if not args.quiet:
                    print(ordinal, us, KINDS.get(kind, f"kind-{kind}"), " ud"[direction].strip() or "-",
                          ("passed", "withheld", "made", "held")[fate - 1], code, payload.hex() or "-")
            verdict = trail.end or ("cut" if trail.live else "bad: unsigned")
        except EOFError:
            verdict = "bad: bytes follow the end" if trail.end else "cut" if trail.live else "bad: unsigned"
        except (Bad, ValueError, KeyError, TypeError, struct.error) as error:
            verdict = f"bad: {error} in the block at {trail.position}"
        good = good and verdict in ("complete", "recovered") and bool(keys)
        print(f"{path}: {verdict}, {trail.ordinal} records, digest {trail.chain.hex()}"
              + ("" if keys else ", signatures not checked"))
    sys.exit(0 if good else 1)


main()
