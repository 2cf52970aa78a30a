"""Plays one scene with a library of others, paramiko or asyncssh, and prints what came of it as JSON.

One JSON argument: library, feature, route (host, port, user, key, perhaps hop), local, remote, echo (port), command,
shell (input of a shell), question (path of what the service is sent), agent (whether one is there).
"""

import asyncio
import hashlib
import json
import os
import socket
import sys
import threading
import warnings

warnings.filterwarnings("ignore")


def digest(data):
    return hashlib.sha256(data).hexdigest()


def answer_of(data):
    return {"bytes": len(data), "sha256": digest(data)}


def question(plan):
    with open(plan["question"], "rb") as file:
        return file.read()


class Paramiko:
    def __init__(self, plan):
        import paramiko

        self.paramiko = paramiko
        self.plan = plan
        route = plan["route"]
        hop = route.get("hop")
        sock = None
        if hop:
            self.outer = self.login(hop, None)
            sock = self.outer.get_transport().open_channel(
                "direct-tcpip", (route["host"], route["port"]), ("127.0.0.1", 0)
            )
        self.client = self.login(route, sock)

    def login(self, to, sock):
        client = self.paramiko.SSHClient()
        client.set_missing_host_key_policy(self.paramiko.AutoAddPolicy())
        client.connect(
            to["host"],
            to["port"],
            to["user"],
            key_filename=to["key"],
            allow_agent=False,
            look_for_keys=False,
            timeout=20,
            sock=sock,
        )
        return client

    def finish(self, channel):
        out = channel.makefile("rb").read()
        err = channel.makefile_stderr("rb").read()
        return {"code": channel.recv_exit_status(), "stdout": out.decode(), "stderr": err.decode()}

    def play(self):
        feature = {"-W": "stdio", "-R": "remote", "-A": "agent"}.get(
            self.plan["feature"], self.plan["feature"]
        )
        result = getattr(self, feature)()
        self.client.close()
        return result

    def shell(self):
        channel = self.client.get_transport().open_session()
        channel.invoke_shell()
        channel.sendall(self.plan["shell"].encode())
        channel.shutdown_write()
        return self.finish(channel)

    def exec(self):
        channel = self.client.get_transport().open_session()
        channel.exec_command(self.plan["command"])
        return self.finish(channel)

    def stdin(self):
        channel = self.client.get_transport().open_session()
        channel.exec_command("sha256sum")
        channel.sendall(question(self.plan))
        channel.shutdown_write()
        return self.finish(channel)

    def sftp(self):
        files = self.client.open_sftp()
        local, remote = self.plan["local"], self.plan["remote"]
        for name in sorted(os.listdir(local + "/up")):
            files.put(f"{local}/up/{name}", f"{remote}/{name}")
        os.mkdir(local + "/down")
        for name in sorted(files.listdir(remote)):
            files.get(f"{remote}/{name}", f"{local}/down/{name}")  # with prefetch
        with files.open(f"{remote}/odd", "w") as file:
            file.set_pipelined(True)
            for offset in (42_000, 0, 21_000):
                file.seek(offset)
                file.write(b"odd" * 7_000)
        files.rename(f"{remote}/odd", f"{remote}/renamed")
        return {"names": sorted(files.listdir(remote))}

    def stdio(self):
        address = ("127.0.0.1", self.plan["echo"])
        channel = self.client.get_transport().open_channel("direct-tcpip", address, ("127.0.0.1", 0))
        threading.Thread(target=lambda: channel.sendall(question(self.plan)), daemon=True).start()
        return answer_of(channel.makefile("rb").read())

    def remote(self):
        transport = self.client.get_transport()
        port = transport.request_port_forward("127.0.0.1", 0)
        with socket.create_connection(("127.0.0.1", port), 20) as dialled:
            channel = transport.accept(20)
            dialled.sendall(b"out")
            there = channel.recv(3)
            channel.sendall(b"back")
            channel.close()
            back = dialled.makefile("rb").read()
        return {"there": there.decode(), "back": back.decode()}

    def agent(self):
        channel = self.client.get_transport().open_session()
        self.paramiko.agent.AgentRequestHandler(channel)
        channel.exec_command("ssh-add -l | cut -d' ' -f1")
        return self.finish(channel)

    def mux(self):
        channels = []
        for n in range(5):
            channel = self.client.get_transport().open_session()
            channel.exec_command(f"echo {n}; exit {n}")
            channels.append(channel)
        return {"runs": [self.finish(channel) for channel in channels]}


class AsyncSsh:
    def __init__(self, plan):
        import asyncssh

        self.asyncssh = asyncssh
        self.plan = plan

    def login(self, to, **more):
        return self.asyncssh.connect(
            to["host"],
            to["port"],
            username=to["user"],
            known_hosts=None,
            config=None,
            client_keys=[to["key"]],
            login_timeout=20,
            **more,
        )

    def play(self):
        return asyncio.run(self.go())

    async def go(self):
        route = self.plan["route"]
        feature = self.plan["feature"]
        more = {"agent_path": None}
        if feature == "-A":
            more = {"agent_path": os.environ["SSH_AUTH_SOCK"], "agent_forwarding": True}
        names = {"-L": "local", "-R": "remote", "-D": "socks", "-W": "stdio", "-A": "agent"}
        act = getattr(self, names.get(feature, feature))
        if "hop" in route:
            async with self.login(route["hop"], agent_path=None) as outer:
                async with self.login(route, tunnel=outer, **more) as connection:
                    return await act(connection)
        async with self.login(route, **more) as connection:
            return await act(connection)

    @staticmethod
    def told(done):
        out, err = [text if isinstance(text, str) else text.decode() for text in (done.stdout, done.stderr)]
        return {"code": done.exit_status, "stdout": out, "stderr": err}

    async def shell(self, connection):
        return self.told(await connection.run(input=self.plan["shell"]))

    async def exec(self, connection):
        return self.told(await connection.run(self.plan["command"]))

    async def stdin(self, connection):
        done = await connection.run("sha256sum", input=question(self.plan), encoding=None)
        return self.told(done)

    async def sftp(self, connection):
        local, remote = self.plan["local"], self.plan["remote"]
        async with connection.start_sftp_client() as files:
            await files.put(local + "/up", remote + "/one", recurse=True, preserve=True)
            await files.get(remote + "/one", local + "/down", recurse=True)
            await files.rename(remote + "/one/file 1", remote + "/renamed")
            return {"names": sorted(await files.listdir(remote + "/one"))}

    async def scp(self, connection):
        local, remote = self.plan["local"], self.plan["remote"]
        scp = self.asyncssh.scp
        await scp(local + "/up", (connection, remote + "/one"), recurse=True)
        await scp((connection, remote + "/one"), local + "/down", recurse=True)
        return {}

    async def converse(self, reader, writer):
        writer.write(question(self.plan))
        data = await reader.read()
        writer.close()
        return answer_of(data)

    async def local(self, connection):
        listener = await connection.forward_local_port("127.0.0.1", 0, "127.0.0.1", self.plan["echo"])
        return await self.converse(*await asyncio.open_connection("127.0.0.1", listener.get_port()))

    async def remote(self, connection):
        listener = await connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", self.plan["echo"])
        return await self.converse(*await asyncio.open_connection("127.0.0.1", listener.get_port()))

    async def socks(self, connection):
        listener = await connection.forward_socks("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.get_port())
        writer.write(bytes([5, 1, 0]))
        await reader.readexactly(2)
        writer.write(bytes([5, 1, 0, 1, 127, 0, 0, 1]) + self.plan["echo"].to_bytes(2, "big"))
        reply = await reader.readexactly(10)
        if reply[1] != 0:
            return {"refused": reply[1]}
        return await self.converse(reader, writer)

    async def stdio(self, connection):
        return await self.converse(
            *await connection.open_connection("127.0.0.1", self.plan["echo"], encoding=None)
        )

    async def agent(self, connection):
        return self.told(await connection.run("ssh-add -l | cut -d' ' -f1"))

    async def mux(self, connection):
        runs = [connection.run(f"echo {n}; exit {n}") for n in range(5)]
        return {"runs": [self.told(done) for done in await asyncio.gather(*runs)]}


def main():
    plan = json.loads(sys.argv[1])
    try:
        result = {"paramiko": Paramiko, "asyncssh": AsyncSsh}[plan["library"]](plan).play()
    except Exception as error:  # whatever a library throws
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    print(json.dumps(result))
    sys.stdout.flush()
    os._exit(0)  # threads of a library do not keep it


main()
