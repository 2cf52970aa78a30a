"""Runs one command over SSH with a library of others: paramiko or asyncssh.

One JSON argument: library, host, port, user, key (path) or password, command. Standard output and error of the command
are passed on, its exit code is ours; 255 and one line for a login that failed.
"""

import json
import sys
import warnings

warnings.filterwarnings("ignore")


def by_paramiko(plan):
    import paramiko

    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect(
        plan["host"],
        plan["port"],
        plan["user"],
        password=plan.get("password"),
        key_filename=plan.get("key"),
        allow_agent=False,
        look_for_keys=False,
        timeout=20,
    )
    channel = client.get_transport().open_session()
    channel.exec_command(plan["command"])
    out = channel.makefile("rb").read()
    err = channel.makefile_stderr("rb").read()
    code = channel.recv_exit_status()
    client.close()
    return out, err, code


def by_asyncssh(plan):
    import asyncio

    import asyncssh

    async def go():
        async with asyncssh.connect(
            plan["host"],
            plan["port"],
            username=plan["user"],
            known_hosts=None,
            config=None,
            agent_path=None,
            client_keys=[plan["key"]] if "key" in plan else None,
            password=plan.get("password"),
            login_timeout=20,
        ) as connection:
            done = await connection.run(plan["command"], encoding=None)
            return done.stdout, done.stderr, done.exit_status

    return asyncio.run(go())


def main():
    plan = json.loads(sys.argv[1])
    try:
        out, err, code = {"paramiko": by_paramiko, "asyncssh": by_asyncssh}[plan["library"]](plan)
    except Exception as error:  # whatever a library throws when it is not let in
        print(type(error).__name__, error, file=sys.stderr)
        sys.exit(255)
    sys.stdout.buffer.write(out)
    sys.stderr.buffer.write(err)
    sys.exit(code)


main()
