"""Debian's programs as users run them; `make programs` (not part of make test).

Each boots a machine with a package more, downloads included, and looks at
what the program says at its end.
"""
import pytest

from guest import run

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
