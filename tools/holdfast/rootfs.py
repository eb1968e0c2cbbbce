"""Puts a root tree together out of packages, files and a release.

No maintainer script runs. What such scripts would leave behind and a
program looks for is made here: the linker's cache, users and groups, the
certificate bundle, the links that update-alternatives makes.
"""
import glob
import os
import posixpath
import shlex
import stat
import subprocess
import tempfile

from . import BUILD, TOP, debs, elf, release as releases, sets, trims
from .errors import WrongUse, say
from .tree import Tree

# The Erlang shell with the demo beside it.
SHELL = ["erl", "-s", "holdfast"]
# What runs when nobody names a command: for the host, and for init.
COMMAND_FILE = "etc/holdfast/command"
START_FILE = "etc/holdfast/start"


class Recipe:
    """All that decides what is in a root tree."""

    def __init__(self, base="default", packages=(), release=None, tree=None, adds=()):
        self.base = base
        self.packages = list(packages)
        self.release = releases.shape(release) if release else None
        self.release_dir = os.path.abspath(release) if release else None
        self.tree = tree
        self.adds = list(adds)

    def base_packages(self):
        """The packages of the base set, before their dependencies."""
        if self.tree is not None:
            return []
        base = self.base
        if self.release is not None and self.release.own_erts and base == "default":
            base = "system"
        return sets.SETS[base][0]

    def wanted_packages(self):
        """Debian packages by name, before their dependencies."""
        return self.base_packages() + self.packages

    def command(self):
        """What runs when the user names no command, or None."""
        if self.release is not None:
            return self.release.command
        if self.tree is None and any(p == "erlang-base" for p in self.wanted_packages()):
            return SHELL
        return None


def check(recipe):
    """=> raises WrongUse for files that are not there"""
    if recipe.tree is not None and not os.path.isdir(recipe.tree):
        raise WrongUse("%s: no such directory" % recipe.tree)
    for source, dest in recipe.adds:
        if not os.path.lexists(source):
            raise WrongUse("%s: no such file or directory" % source)
        if not dest.startswith("/"):
            raise WrongUse("--add %s:%s: the destination must start with /" % (source, dest))


def build(recipe, versions):
    """The finished tree; `versions` are the resolved packages."""
    debs.fetch(versions)
    tree = Tree()
    for path, mode in sets.DIRECTORIES.items():
        tree.mkdir(path, mode)
    left_out = trims.matcher(trims.EVERYWHERE)
    for name, version in sorted(versions.items()):
        for path, entry in debs.read(name, version):
            tree.put(path, entry)
    tree.prune(lambda path: not left_out(path))
    if versions or recipe.tree is None:
        _configure(tree)
    if recipe.tree is None and sets.SETS[recipe.base][1]:
        _minimise(tree)
    if recipe.tree is not None:
        tree.add_host(recipe.tree, "/")
    if recipe.release is not None:
        tree.add_host(recipe.release_dir, "/srv/" + recipe.release.name)
    if "erlang-base" in versions:
        _add_application(tree)
    _applets(tree)
    _alternatives(tree)
    for source, dest in recipe.adds:
        _add(tree, source, dest)
    if recipe.command():
        tree.write(COMMAND_FILE, "\0".join(recipe.command()) + "\0")
        tree.write(START_FILE, "#!/bin/sh\nexec %s\n" % shlex.join(recipe.command()), 0o755)
    _linker_cache(tree)
    return tree


def _add(tree, source, dest):
    """--add: a file may be given a folder to land in; links are followed."""
    source = os.path.realpath(source)
    there = tree.get(dest)
    inside = dest.endswith("/") or (there is not None and there.kind == "d")
    if inside and os.path.isfile(source):
        dest = posixpath.join(dest, os.path.basename(source))
    if os.path.isdir(source):
        for name in sorted(os.listdir(source)):
            tree.add_host(os.path.join(source, name), posixpath.join(dest, name))
        tree.mkdir(dest, stat.S_IMODE(os.stat(source).st_mode))
    else:
        tree.add_host(source, dest)


def _configure(tree):
    """The files of /etc that packages leave to their scripts."""
    for path, text in sets.FILES.items():
        if path not in tree:
            tree.write(path, text)
    for path, target in sets.LINKS.items():
        if path not in tree:
            tree.symlink(path, target)
    if "etc/localtime" not in tree:
        tree.write("etc/localtime", _utc())
        tree.write("etc/timezone", "Etc/UTC\n")
    _certificates(tree)


def _utc():
    """A time zone file (version 2) for UTC."""
    head = b"TZif2" + b"\0" * 15
    counts = b"".join(n.to_bytes(4, "big") for n in (0, 0, 0, 0, 1, 4))
    block = head + counts + b"\0" * 6 + b"UTC\0"
    return block + block + b"\nUTC0\n"


def _certificates(tree):
    found = sorted(p for p in tree.entries
                   if p.startswith("usr/share/ca-certificates/") and p.endswith(".crt"))
    if not found:
        return
    bundle = b"".join(tree.entries[p].read().rstrip(b"\n") + b"\n" for p in found)
    tree.write("etc/ssl/certs/ca-certificates.crt", bundle)
    for path in found:
        tree.remove(path)


def _minimise(tree):
    """Keep what starting the shell opens, and libraries that are needed."""
    left_out = trims.matcher(trims.MINIMAL)
    terms = ("/l/linux", "/v/vt100", "/x/xterm", "/x/xterm-256color", "/s/screen")

    def wanted(path):
        if "/terminfo/" in path:
            return path.endswith(terms)
        return not left_out(path)
    tree.prune(wanted)
    needed = elf.needed_by_programs(tree)
    tree.prune(lambda path: ".so" not in posixpath.basename(path) or path in needed
               or not path.startswith("usr/lib"))


def erlang_application():
    """Compile erlang/ if it is out of date; returns its directory."""
    source = os.path.join(TOP, "erlang", "src")
    with open(os.path.join(source, "holdfast.app.src"), encoding="utf-8") as file:
        app = file.read()
    version = app.split("{vsn,", 1)[1].split('"')[1]
    out = os.path.join(BUILD, "erlang", "holdfast-" + version, "ebin")
    modules = sorted(glob.glob(os.path.join(source, "*.erl")))
    newest = max(os.path.getmtime(p) for p in modules)
    built = [os.path.join(out, os.path.basename(p)[:-4] + ".beam") for p in modules]
    if not all(os.path.exists(b) and os.path.getmtime(b) >= newest for b in built):
        os.makedirs(out, exist_ok=True)
        try:
            subprocess.run(["erlc", "+deterministic", "+debug_info", "-Werror",
                            "-o", out, *modules], check=True)
        except FileNotFoundError as error:
            raise WrongUse("erlc is missing; install erlang-base (make deps)") from error
        except subprocess.CalledProcessError as error:
            raise WrongUse("erlang/src does not compile") from error
    names = ", ".join(os.path.basename(p)[:-4] for p in modules)
    with open(os.path.join(out, "holdfast.app"), "w", encoding="utf-8") as file:
        file.write(app.replace("%%MODULES%%", names))
    return os.path.dirname(out)


def _add_application(tree):
    folder = erlang_application()
    ebin = os.path.join(folder, "ebin")
    dest = "/usr/lib/erlang/lib/" + os.path.basename(folder) + "/ebin"
    for name in sorted(os.listdir(ebin)):
        with open(os.path.join(ebin, name), "rb") as file:
            tree.write(posixpath.join(dest, name), file.read())


def _applets(tree):
    """Link busybox's applets where no real program has the name."""
    entry = tree.get("usr/bin/busybox")
    if entry is None or entry.kind != "f":
        return
    with tempfile.TemporaryDirectory(prefix="holdfast-") as work:
        path = os.path.join(work, "busybox")
        with open(path, "wb") as file:
            file.write(entry.read())
        os.chmod(path, 0o755)
        listing = subprocess.run([path, "--list-full"], capture_output=True, text=True,
                                 check=True).stdout
    taken = {posixpath.basename(p) for p in tree.entries
             if posixpath.dirname(p) in ("usr/bin", "usr/sbin")}
    for where in listing.split():
        name = posixpath.basename(where)
        if name in taken or name in ("init", "linuxrc", "dpkg", "rpm"):
            continue
        folder = "usr/sbin" if "sbin" in where else "usr/bin"
        target = "busybox" if folder == "usr/bin" else "../bin/busybox"
        tree.symlink(folder + "/" + name, target)


def _alternatives(tree):
    """The links of update-alternatives that scripts rely on."""
    choices = {"usr/bin/awk": ("gawk", "mawk"), "usr/bin/sh": ("dash", "bash"),
               "usr/bin/vi": ("vim.basic", "vim.tiny", "nvi"),
               "usr/bin/pager": ("less", "more"), "usr/bin/editor": ("nano", "vi"),
               "usr/bin/nc": ("nc.openbsd", "nc.traditional")}
    for path, targets in choices.items():
        entry = tree.get(path)
        if entry is not None and entry.kind == "f":
            continue
        for target in targets:
            if "usr/bin/" + target in tree and tree.get("usr/bin/" + target).kind == "f":
                tree.symlink(path, target)
                break


def _linker_cache(tree):
    """Have ldconfig make /etc/ld.so.cache; without it ld.so only searches longer."""
    libs = [p for p in tree.entries if p.startswith(("usr/lib", "usr/local/lib"))
            and ".so" in posixpath.basename(p)]
    if not libs:
        return
    if "etc/ld.so.conf" not in tree:
        tree.write("etc/ld.so.conf", "/usr/local/lib\n/usr/local/lib/x86_64-linux-gnu\n"
                   "/lib/x86_64-linux-gnu\n/usr/lib/x86_64-linux-gnu\n")
    conf = [p for p in tree.entries if p.startswith("etc/ld.so.conf")]
    with tempfile.TemporaryDirectory(prefix="holdfast-") as root:
        for path in ("bin", "sbin", "lib", "lib64", *libs, *conf):
            entry = tree.entries[path]
            where = os.path.join(root, path)
            os.makedirs(os.path.dirname(where), exist_ok=True)
            if entry.kind == "l":
                os.symlink(entry.source, where)
            elif entry.kind == "f":
                with open(where, "wb") as file:
                    file.write(entry.read())
        command = ["/sbin/ldconfig", "-X", "-r", root]
        if os.geteuid() != 0:
            command = ["unshare", "-r", "--", *command]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        cache = os.path.join(root, "etc/ld.so.cache")
        if done.returncode == 0 and os.path.exists(cache):
            with open(cache, "rb") as file:
                tree.write("etc/ld.so.cache", file.read())
        else:
            say("ldconfig did not run; programs start a little slower")
