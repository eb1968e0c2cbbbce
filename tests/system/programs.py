"""Debian's programs as users run them; `make programs` (not part of make test).

Each boots a machine with a package more, downloads included, and looks at
what the program says at its end.
"""
import re
import time

import pytest

from guest import Guest, ON_LINUX, run

MACHINE = ("--cpus", "4", "--memory", "1G")

PYTHON = """
import asyncio, multiprocessing, subprocess
def square(x):
    return x * x
async def main():
    async def handle(reader, writer):
        writer.write((await reader.readline())[::-1])
        writer.close()
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async def one(n):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"%d" % n + b"\\n")
        return await reader.read()
    print("answers", len(set(await asyncio.gather(*map(one, range(100))))))
if __name__ == "__main__":
    asyncio.run(main())
    with multiprocessing.Pool(4) as pool:
        print("sum", sum(pool.map(square, range(1000))))
    print(subprocess.run("echo a | tr a b; exit 3", shell=True, capture_output=True))
"""


def test_python(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PYTHON)
    result = run(*MACHINE, "--debian", "python3", "--add", "%s:/tmp/script.py" % script,
                 argv=["python3", "/tmp/script.py"])
    assert result.status == 0, result
    for text in ("answers 100", "sum 332833500", "returncode=3, stdout=b'b\\n'"):
        assert text in result.out, result


def test_redis():
    script = ("redis-server --dir /tmp --appendonly yes >/tmp/log & "
              "until redis-cli ping 2>/dev/null; do sleep 0.2; done; "
              "redis-benchmark -q -n 2000 -c 50 -t set,get,lpush >/dev/null; echo bench $?; "
              "redis-cli set k v; redis-cli bgrewriteaof; redis-cli save; redis-cli get k; "
              "redis-cli shutdown; wait; tail -1 /tmp/log")
    result = run(*MACHINE, "--debian", "redis-server", "--debian", "redis-tools",
                 argv=["sh", "-c", script])
    assert result.status == 0 and "bench 0" in result.out, result
    assert "ready to exit" in result.out, result


@pytest.mark.parametrize("stressors", [
    "--timer 2 --cpu 4 --pipe 2 --fork 2", "--sock 2 --epoll 2 --switch 2 --sigq 2",
    "--dentry 2 --rename 2 --flock 2 --lockf 2"])
def test_stress(stressors):
    result = run(*MACHINE, "--debian", "stress-ng", argv=[
        "sh", "-c", "cd /tmp; stress-ng %s --timeout 4s 2>&1" % stressors])
    assert result.status == 0 and " successful run" in result.out, result


# A server and its client in one machine, with a connection between them. The client says how far
# it has come after each ten answers, and WRONG when one is not the next.
REDIS = """
mkdir -p /data; redis-server --dir /data --appendonly yes --save 1 1 >/data/log 2>&1 &
until redis-cli ping 2>/dev/null | grep -q PONG; do sleep 0.2; done
redis-benchmark -q -n 100000000 -c 20 -t lpush,lpop -l >/dev/null &
exec python3 -u - <<'P'
import socket
with socket.create_connection(("127.0.0.1", 6379)) as s:
    n, file = 0, s.makefile("rb")
    while True:
        n += 1
        s.sendall(b"INCR k\\r\\n")
        got = file.readline()
        print("answer" if got == b":%d\\r\\n" % n else "WRONG", n, got) if n % 10 == 0 else None
P
"""
RABBITMQ = """
export HOME=/root LANG=C.UTF-8 RABBITMQ_NODENAME=rabbit@localhost
/usr/lib/rabbitmq/bin/rabbitmq-server >/tmp/log 2>&1 &
exec python3 -u - <<'P'
import pika, time
while True:
    try:
        connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1"))
        break
    except pika.exceptions.AMQPConnectionError:
        time.sleep(0.5)
channel = connection.channel()
channel.confirm_delivery()
channel.queue_declare("q", durable=True)
n = 0
while True:
    n += 1
    channel.basic_publish("", "q", b"%d" % n, pika.BasicProperties(delivery_mode=2))
    message, _, body = channel.basic_get("q", auto_ack=False)
    print("answer" if int(body) == n else "WRONG", n, body) if n % 10 == 0 else None
    channel.basic_ack(message.delivery_tag)
P
"""


@pytest.mark.skipif(ON_LINUX, reason="Linux has no store")
@pytest.mark.parametrize("packages, script", [
    (("redis-server", "redis-tools", "python3"), REDIS),
    (("rabbitmq-server", "python3-pika"), RABBITMQ)], ids=["redis", "rabbitmq"])
def test_server_and_client_go_on_over_power_cuts(tmp_path, packages, script):
    args = [*MACHINE, "--disk", str(tmp_path / "d.img"), "--checkpoint", "100ms"]
    for package in packages:
        args += ["--debian", package]
    last = 0
    for life in range(5):
        with Guest(*args, argv=["sh", "-c", script]) as machine:
            if life:
                machine.expect(r"epoch \d+, \d+ ms old, goes on")
            until = time.monotonic() + 3
            machine.expect(r"\banswer \d+ ", 300)
            while time.monotonic() < until:
                machine.expect(r"\banswer \d+ ")
            machine.power_cut()
            text = machine.text
        assert not re.search(r"WRONG|panic|Traceback|rror:", text), text[-3000:]
        said = [int(n) for n in re.findall(r"\banswer (\d+) ", text)]
        assert said == list(range(said[0], said[-1] + 1, 10)), said
        assert said[0] <= last + 10, (said[0], last)
        last = said[-1]
