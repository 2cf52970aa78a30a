"""Says hello to the X server that DISPLAY names, with the cookie that xauth has, and prints the first byte of the answer."""

import os
import socket
import struct
import subprocess

display = os.environ["DISPLAY"]
listed = subprocess.run(["xauth", "list", display], capture_output=True, text=True, check=True)
cookie = bytes.fromhex(listed.stdout.split()[2])
name = b"MIT-MAGIC-COOKIE-1"
number = int(display.rsplit(":", 1)[1].split(".")[0])
padding = bytes(-len(name) % 4)
head = struct.pack("<BxHHHHxx", ord("l"), 11, 0, len(name), len(cookie))
with socket.create_connection(("127.0.0.1", 6000 + number)) as server:
    server.sendall(head + name + padding + cookie)
    print("answer", server.recv(64)[:1])
