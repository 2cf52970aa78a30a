#!/usr/bin/env python3
"""Holds the trails of an evidence bundle against each other: every channel that a connection names must be there as it
was when it ended, a ledger must know the connection as it is, and each transferred file must be in files/ with the
hash that a trail has of it. It reads what trail-reader.py prints, which has checked each trail by itself:

    python3 trail-reader.py --key KEY... trails/*.trail ledgers/*.trail | python3 bundle-check.py

Prints a line per file, notes, what is wrong, and last `together: good` or `together: NOT GOOD`; exit 0 only for good.
A ledger that is cut is good as far as it is signed: it was copied while its gate was running."""
import hashlib, json, os, re, sys

VERDICT = re.compile(r"^(.*): (complete|recovered|cut|bad.*), (\d+) records, digest ([0-9a-f]{64})(.*)$")
TELLING = ("channel-digest", "ledger-start", "ledger-end", "ledger-recovered")


class Trail:
    def __init__(self):
        self.header, self.header_digest, self.says, self.signed = None, "", [], 0
        self.files, self.names_all_files = {}, True


def read(lines):
    """Each file with what it says of others."""
    trail = Trail()
    for line in lines:
        words = line.split(" ", 6)
        if len(words) == 7 and words[0].isdigit() and words[2] in ("header", "checkpoint", "file", *TELLING):
            payload = bytes.fromhex(words[6].strip("-\n"))
            if words[2] == "header":
                trail.header, trail.header_digest = json.loads(payload), hashlib.sha256(payload).hexdigest()
            elif words[2] == "checkpoint":
                trail.signed = int(words[0])
            elif words[2] == "file":
                said = json.loads(payload)
                if digest := said.get("sha256", said.get("sha256_moved")):
                    trail.files[said["file"]] = digest
                trail.names_all_files &= "undecoded" not in said
            else:
                trail.says.append((int(words[0]), words[2], json.loads(payload)))
        elif found := VERDICT.match(line.rstrip("\n")):
            trail.path, trail.verdict, _, trail.digest, trail.unchecked = found.groups()
            trail.names_all_files &= trail.verdict == "complete"
            print(line, end="")
            yield trail
            trail = Trail()


def about(connection, channels, ledgers):
    """What does not fit, and what is to be known, of one connection."""
    wrong, known, entries = [], [], 0
    digests = {said["channel"]: said["digest"] for _, kind, said in connection.says if kind == "channel-digest"}
    for ledger in ledgers:
        for ordinal, kind, said in ledger.says:
            if said.get("connection") != connection.header["connection"]:
                continue
            entries += 1
            if ordinal >= ledger.signed:
                known.append(f"record {ordinal} of the ledger was not signed yet")
            if kind == "ledger-start" and said["header"] != connection.header_digest:
                wrong.append("the ledger knows another recording by this id")
            if kind != "ledger-start" and said["digest"] not in ("", connection.digest):
                wrong.append("not as it ended, says the ledger")
            for channel in said.get("channels", []):
                digests[channel["channel"]] = channel["digest"] or digests.get(channel["channel"], "")
    if not entries:
        wrong.append("no ledger knows it")
    for channel, digest in digests.items():
        if channel not in channels:
            wrong.append(f"channel {channel} is missing")
        elif digest not in ("", channels[channel].digest):
            wrong.append(f"channel {channel} is not as it ended")
    for channel, trail in channels.items():
        if trail.header["connectionHeader"] != connection.header_digest:
            wrong.append(f"channel {channel} is of another recording")
        if connection.verdict != "cut" and channel not in digests:
            wrong.append(f"nothing accounts for channel {channel}")
    return wrong, known


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def transferred(trails):
    """What is wrong with files/, and what is to be known of it."""
    said = {file: digest for trail in trails for file, digest in trail.files.items()}
    there = set(os.listdir("files")) if os.path.isdir("files") else set()
    wrong = [f"transferred file {file} is missing" for file in said.keys() - there]
    for file in sorted(there):
        if file in said and sha256_of(os.path.join("files", file)) != said[file]:
            wrong.append(f"transferred file {file} is not what its trail says")
    unsaid = [f"no trail names the transferred file {file}" for file in sorted(there - said.keys())]
    if all(trail.names_all_files for trail in trails):
        return wrong + unsaid, []
    return wrong, unsaid


def main():
    wrong, kinds = [], {"connection": [], "channel": [], "ledger": []}
    for trail in read(sys.stdin):
        kind = trail.header["container"] if trail.header else ""
        good = ("complete", "recovered", "cut") if kind == "ledger" else ("complete", "recovered")
        if trail.verdict not in good or trail.unchecked:
            wrong.append(f"{trail.path} is {trail.verdict}{trail.unchecked}")
        name = "connection" if kind == "connection" else str(trail.header["channel"]) if kind == "channel" else ""
        if name and os.path.basename(trail.path) != f"{name}.trail":
            wrong.append(f"{trail.path} is the trail of {name}")
        if kind in kinds and not trail.verdict.startswith("bad"):
            kinds[kind].append(trail)
    for connection in kinds["connection"]:
        name = connection.header["connection"]
        mine = {trail.header["channel"]: trail for trail in kinds["channel"] if trail.header["connection"] == name}
        bad, known = about(connection, mine, kinds["ledger"])
        wrong += [f"{name}: {line}" for line in bad]
        for line in known:
            print(f"note: {name}: {line}")
    bad, known = transferred(kinds["channel"])
    wrong += bad
    for line in known:
        print(f"note: {line}")
    names = {trail.header["connection"] for trail in kinds["connection"]}
    if not names or any(trail.header["connection"] not in names for trail in kinds["channel"]):
        wrong.append("a connection's own trail is missing")
    for line in wrong:
        print(f"bad: {line}")
    print("together: NOT GOOD" if wrong else "together: good")
    sys.exit(1 if wrong else 0)


main()
