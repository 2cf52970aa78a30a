"""Takes the place of ssh for `scp -O -S`: runs the target's side of the command on this machine and writes what passes
each way to the file named by TAP, a line of JSON per piece, before it goes on. The first line is the command."""

import base64
import json
import os
import select
import subprocess
import sys

words = sys.argv[1:]
while words and words[0].startswith("-"):
    words = words[2:] if words[0] in ("-o", "-l") else words[1:]
command = b" ".join(os.fsencode(word) for word in words[1:])
tap = open(os.environ["TAP"], "w", buffering=1)


def note(what, data):
    tap.write(json.dumps([what, base64.b64encode(data).decode()]) + "\n")


note("command", command)
target = subprocess.Popen(["/bin/sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
ways = {0: ("stdin", target.stdin.fileno()), target.stdout.fileno(): ("stdout", 1)}
while target.stdout.fileno() in ways:
    for source in select.select(list(ways), [], [])[0]:
        what, sink = ways[source]
        data = os.read(source, 65536)
        try:
            if data:
                note(what, data)
                os.write(sink, data) if len(data) <= 512 else os.fdopen(os.dup(sink), "wb", closefd=True).write(data)
                continue
        except BrokenPipeError:
            pass
        del ways[source]
        if sink != 1:
            target.stdin.close()
sys.exit(target.wait())
