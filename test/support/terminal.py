"""Runs a program in a real terminal of a given size and settings, step by step.

The plan is one JSON argument: command, rows, columns, stty (settings applied first) and steps, each one of
{"expect": text}, {"send": text}, {"resize": [rows, columns]}, {"eof": true}. All that the terminal shows goes to
standard output as it is; the exit code is the program's, 128 + n after signal n. `expect` looks only at what came
after the step before it. Python's standard library alone.
"""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios


def set_size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, columns * 8, rows * 16))


def main():
    plan = json.loads(sys.argv[1])
    master, slave = pty.openpty()
    set_size(slave, plan["rows"], plan["columns"])
    if plan["stty"]:
        subprocess.run(["stty", *plan["stty"]], stdin=slave, check=True)

    pid = os.fork()
    if pid == 0:
        os.close(master)
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for fd in (0, 1, 2):
            os.dup2(slave, fd)
        if slave > 2:
            os.close(slave)
        os.execvp(plan["command"][0], plan["command"])
    os.close(slave)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGKILL))

    steps = list(plan["steps"])
    seen = b""
    while True:
        while steps and ("expect" not in steps[0] or steps[0]["expect"].encode() in seen):
            step = steps.pop(0)
            if "expect" in step:
                text = step["expect"].encode()
                seen = seen[seen.index(text) + len(text) :]
            elif "send" in step:
                os.write(master, step["send"].encode())
            elif "resize" in step:
                set_size(master, *step["resize"])
            else:
                os.write(master, b"\x04")
        try:
            data = os.read(master, 65536)
        except OSError:  # EIO: the last holder of the terminal is gone
            data = b""
        if not data:
            break
        seen = (seen + data)[-1_000_000:]
        os.write(1, data)
    if steps:
        sys.stderr.write("the program ended before " + json.dumps(steps[0]) + "\n")
    status = os.waitpid(pid, 0)[1]
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)


main()
