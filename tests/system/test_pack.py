"""Root images: what `pack` puts in, and that its bytes are what it says."""
import os
import stat
import subprocess

import pytest

from guest import holdfast


def entries(path):
    """{name: (mode, size, offset of the data, data)} of a newc archive."""
    with open(path, "rb") as file:
        data = file.read()
    out, at = {}, 0
    while True:
        assert data[at:at + 6] == b"070701", at
        field = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, namesize = field[1], field[6], field[11]
        assert 0 < namesize <= 4096
        name = data[at + 110:at + 110 + namesize]
        assert name[-1] == 0
        name = name.rstrip(b"\0").decode()
        start = (at + 110 + namesize + 3) & ~3
        if name == "TRAILER!!!":
            assert len(data) % 4096 == 0 and not any(data[start:])
            return out
        assert name not in out or stat.S_ISDIR(mode)
        out[name] = (mode, size, start, data[start:start + size])
        at = (start + size + 3) & ~3


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("images") / "root.cpio")
    assert holdfast("pack", "-o", path).status == 0
    return path


def test_is_a_newc_archive(default):
    with open(default, "rb") as file:
        done = subprocess.run(["cpio", "-t"], stdin=file, capture_output=True, text=True,
                              check=True)
    assert "usr/bin/busybox" in done.stdout.split()


def test_large_files_are_page_aligned(default):
    found = entries(default)
    large = [name for name, (mode, size, _, _) in found.items()
             if stat.S_ISREG(mode) and size >= 4096]
    assert len(large) > 200
    assert [n for n in large if found[n][2] % 4096] == []


def test_dependencies_of_what_was_asked_for(tmp_path):
    """Does a package bring what it depends on, though the base set does without?"""
    path = str(tmp_path / "root.cpio")
    assert holdfast("pack", "-o", path, "--debian", "python3-six",
                    "--debian", "rabbitmq-server").status == 0
    names = entries(path)
    assert "usr/bin/python3" in names
    assert any(n.endswith("/ebin/mnesia.app") for n in names)
    assert not any("/wx-" in n or n == "usr/sbin/adduser" for n in names)


def test_parents_come_first(default):
    seen = {""}
    for name in entries(default):
        assert os.path.dirname(name) in seen, name
        seen.add(name)


def test_holds_what_a_guest_needs(default):
    found = entries(default)
    for name in ("etc/passwd", "etc/group", "etc/nsswitch.conf", "etc/hosts", "etc/localtime",
                 "etc/ld.so.cache", "etc/ssl/certs/ca-certificates.crt", "etc/protocols",
                 "usr/lib/locale/C.utf8/LC_CTYPE", "usr/lib/x86_64-linux-gnu/libc.so.6",
                 "usr/lib/erlang/lib/holdfast-0.1.0/ebin/holdfast_demo.beam", "tmp", "root"):
        assert name in found, name
    assert found["bin"][3] == b"usr/bin" and found["lib64"][3] == b"usr/lib64"
    assert found["tmp"][0] & 0o7777 == 0o1777
    assert found["usr/bin/sh"][3] == b"busybox"
    assert found["etc/holdfast/command"][3] == b"erl\0-s\0holdfast\0"
    assert any(n.startswith(("usr/share/terminfo/", "usr/lib/terminfo/")) for n in found)


def test_leaves_out_what_nobody_opens(default):
    for name in entries(default):
        assert not name.startswith(("usr/share/doc/", "usr/share/man/")), name
        assert "/perl" not in name and "/gconv/" not in name


def test_real_programs_win_over_applets(tmp_path):
    path = str(tmp_path / "image")
    assert holdfast("pack", "-o", path, "--base", "busybox", "--debian", "dash").status == 0
    found = entries(path)
    assert stat.S_ISREG(found["usr/bin/dash"][0])
    assert found["usr/bin/sh"][3] == b"dash"
    assert found["usr/bin/cat"][3] == b"busybox"


def test_same_input_same_bytes(tmp_path):
    images = []
    for run in ("one", "two"):
        path = str(tmp_path / run)
        env = dict(os.environ, HOLDFAST_BUILD=str(tmp_path / ("build-" + run)))
        assert holdfast("pack", "-o", path, "--base", "busybox", env=env).status == 0
        with open(path, "rb") as file:
            images.append(file.read())
    assert images[0] == images[1]


def test_tree_and_add(tmp_path):
    tree = tmp_path / "tree"
    (tree / "sbin").mkdir(parents=True)
    (tree / "sbin" / "init").write_bytes(b"x" * 5000)
    (tree / "sbin" / "init").chmod(0o755)
    (tree / "sbin" / "halt").symlink_to("init")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ünïcode name").write_text("1")
    (tmp_path / "one").write_text("one")
    path = str(tmp_path / "image")
    done = holdfast("pack", "-o", path, "--tree", str(tree),
                    "--add", "%s:/srv/data" % (tmp_path / "data"),
                    "--add", "%s:/etc/" % (tmp_path / "one"))
    assert done.status == 0, done
    found = entries(path)
    assert found["usr/sbin/init"][1] == 5000 and found["usr/sbin/init"][0] & 0o777 == 0o755
    assert found["usr/sbin/halt"][3] == b"init"
    assert found["srv/data/ünïcode name"][3] == b"1"
    assert found["etc/one"][3] == b"one"


def test_nothing_half_written(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(b"before")
    done = holdfast("pack", "-o", str(path), "--base", "none", "--add", "/nowhere:/x")
    assert done.status == 2
    assert path.read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["image"]


def test_long_and_awkward_names(tmp_path):
    """Does alignment hold where the padded name would be too long for Linux?"""
    tree = tmp_path / "tree"
    for i in range(60):
        folder = tree / ("d" * 100) / ("e" * (20 + 3 * i))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ("f" * (10 + i))).write_bytes(bytes([i]) * (4096 + 61 * i))
    path = str(tmp_path / "image")
    assert holdfast("pack", "-o", path, "--tree", str(tree)).status == 0
    found = entries(path)
    files = [v for v in found.values() if stat.S_ISREG(v[0])]
    assert len(files) == 60
    assert all(v[2] % 4096 == 0 and len(set(v[3])) == 1 for v in files)


def _layout(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize("names, command", [
    (["bin/demo", "releases/0.1.0/start.boot", "releases/0.1.0/elixir", "releases/0.1.0/demo.rel",
      "releases/0.1.0/env.sh", "erts-13.1.5/bin/erl"], ["/srv/rel/bin/demo", "start"]),
    (["bin/my_app", "bin/my_app-0.1.0", "bin/install_upgrade.escript", "bin/nodetool",
      "releases/0.1.0/start.boot", "releases/0.1.0/my_app.rel",
      "releases/0.1.0/vm.args", "erts-13.1.5/bin/erl"], ["/srv/rel/bin/my_app", "foreground"]),
    (["entrypoint.sh", "app/ebin/app.app"], ["/srv/rel/entrypoint.sh", "run"]),
])
def test_release_kinds(tmp_path, names, command):
    path = str(tmp_path / "image")
    folder = _layout(tmp_path / "rel", names)
    assert holdfast("pack", "-o", path, "--release", folder).status == 0
    found = entries(path)
    assert found["etc/holdfast/command"][3].decode().split("\0")[:-1] == command
    assert ("usr/lib/erlang/erts-13.1.5/bin/beam.smp" in found) == ("entrypoint.sh" in names)
