"""Runs a program and waits for every process that it leaves behind (PR_SET_CHILD_SUBREAPER).

An sshd that ends with its connection does not wait for the process that did the work; without this, init would wait for
it and its CPU time would be nobody's. With it, /proc/PID/stat of this process and of what still runs below it add up to
all that was spent. Passes SIGTERM on, and ends when the program does.
"""
import ctypes
import os
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
    sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")


def leash() -> None:
    """The program ends with this process, however that ends."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


program = subprocess.Popen(sys.argv[1:], preexec_fn=leash)
signal.signal(signal.SIGTERM, lambda *_: program.send_signal(signal.SIGTERM))
while True:
    pid, status = os.wait()
    if pid == program.pid:
        sys.exit(os.waitstatus_to_exitcode(status))
