"""Debian packages: which are needed, download, contents.

apt does the resolving and the downloading, dpkg-deb the unpacking; both
run as an ordinary user and change nothing on the host. A package is kept
as the plain tar of its files in the cache, named by version, so reading
it a second time costs nothing.
"""
import hashlib
import json
import os
import re
import subprocess
import tarfile

from . import CACHE
from .errors import Failure, WrongUse, say
from .tree import Entry

DEBS = os.path.join(CACHE, "debs")
LISTS = "/var/lib/apt/lists"


def _run(command, **options):
    try:
        return subprocess.run(command, capture_output=True, text=True, **options)
    except FileNotFoundError as error:
        raise WrongUse("%s is missing; install it (make deps)" % command[0]) from error


def _simulate(names):
    """Every package that installing `names` on an empty system brings."""
    done = _run(["apt-get", "-s", "-q", "-o", "Dir::State::status=/dev/null",
                 "--no-install-recommends", "install", *names],
                env=dict(os.environ, LC_ALL="C"))
    if done.returncode != 0:
        lines = [l[3:] for l in done.stderr.splitlines() if l.startswith("E: ")]
        text = lines[0] if lines else "apt-get cannot resolve " + " ".join(names)
        raise WrongUse("%s (try: apt-get update)" % text.rstrip("."))
    return dict(re.findall(r"^Inst (\S+) \((\S+) ", done.stdout, re.M))


def _dependencies(versions):
    """Map each package to the names it needs, and virtual names to real ones."""
    wanted = ["%s=%s" % item for item in sorted(versions.items())]
    done = _run(["apt-cache", "show", *wanted], env=dict(os.environ, LC_ALL="C"))
    needs, provides = {}, {}
    for block in done.stdout.split("\n\n"):
        field = dict(re.findall(r"^([A-Za-z-]+): (.*)$", block, re.M))
        name = field.get("Package")
        if name is None or name in needs:
            continue
        text = ", ".join(field[k] for k in ("Pre-Depends", "Depends") if k in field)
        needs[name] = [[re.split(r"[\s(:]", a.strip())[0] for a in group.split("|")]
                       for group in text.split(",") if group.strip()]
        for virtual in field.get("Provides", "").split(","):
            provides.setdefault(re.split(r"[\s(]", virtual.strip())[0], name)
    return needs, provides


def _walk(names, needs_of, versions, left_out):
    """The closure of `names`; left_out(package, dependency) cuts a branch."""
    needs, provides = needs_of
    found, queue = set(), list(names)
    while queue:
        name = queue.pop()
        name = name if name in versions else provides.get(name)
        if name is None or name in found:
            continue
        found.add(name)
        for group in needs.get(name, ()):
            if not any(left_out(name, a) for a in group):
                queue += [a for a in group if a in versions or a in provides][:1]
    return found


def _closure(base, names, never, optional):
    versions = _simulate(base + names)
    needs_of = _dependencies(versions)
    ours = _walk(base, needs_of, versions, lambda _, a: a in never or a in optional)

    def left_out(package, dependency):
        return dependency in never or dependency in optional and (
            package in ours or package.startswith("erlang-"))
    found = ours | _walk(names, needs_of, versions, left_out)
    return {name: versions[name] for name in sorted(found)}


def _stamp():
    """Changes when apt's lists do."""
    try:
        return sorted((e.name, e.stat().st_mtime_ns) for e in os.scandir(LISTS)
                      if e.is_file())
    except FileNotFoundError:
        return []


def resolve(base, names, never, optional):
    """Map package names to versions: a base set, `names`, and what they depend on.

    What is only reached through a package in `never` stays out, and so do
    those in `optional` where a package of the base set or of Erlang names
    them. A package that is asked for by name is never left out.
    """
    if not base and not names:
        return {}
    base, names = sorted(set(base)), sorted(set(names) - set(base))
    never, optional = (sorted(set(s) - set(names) - set(base)) for s in (never, optional))
    key = hashlib.sha256(
        json.dumps([base, names, never, optional, _stamp()]).encode()).hexdigest()
    path = os.path.join(CACHE, "resolved", key[:32] + ".json")
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (FileNotFoundError, ValueError):
        pass
    result = _closure(base, names, never, optional)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(result, file)
    os.replace(path + ".new", path)
    return result


def _tar_path(name, version):
    return os.path.join(DEBS, "%s_%s.tar" % (name, version.replace(":", "%3a")))


def fetch(versions):
    """Make sure that the tar of every package is in the cache."""
    missing = {n: v for n, v in versions.items() if not os.path.exists(_tar_path(n, v))}
    for count, (name, version) in enumerate(sorted(missing.items()), 1):
        say("fetching %d/%d %s %s" % (count, len(missing), name, version))
        _fetch_one(name, version)


def _fetch_one(name, version):
    path = _tar_path(name, version)
    work = path + ".%d.part" % os.getpid()
    os.makedirs(work, exist_ok=True)
    try:
        done = _run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download",
                     "%s=%s" % (name, version)], cwd=work)
        debs = [f for f in os.listdir(work) if f.endswith(".deb")]
        if done.returncode != 0 or len(debs) != 1:
            text = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise Failure("cannot download %s: %s" % (name, text))
        temp = os.path.join(work, "tar")
        with open(temp, "wb") as out:
            subprocess.run(["dpkg-deb", "--fsys-tarfile", os.path.join(work, debs[0])],
                           stdout=out, check=True)
        os.replace(temp, path)
    finally:
        for left in os.listdir(work):
            os.unlink(os.path.join(work, left))
        os.rmdir(work)


def read(name, version):
    """Yield (path, entry) for all that a package installs."""
    path = _tar_path(name, version)
    with tarfile.open(path, "r:") as tar:
        regular = {}
        for member in tar:
            where = member.name[2:] if member.name.startswith("./") else member.name
            mode = member.mode & 0o7777
            if member.isdir():
                yield where, Entry("d", mode, mtime=int(member.mtime))
            elif member.issym():
                yield where, Entry("l", 0o777, member.linkname, mtime=int(member.mtime))
            elif member.isreg():
                entry = Entry("f", mode, (path, member.offset_data), member.size,
                              int(member.mtime))
                regular[member.name] = entry
                yield where, entry
            elif member.islnk() and member.linkname in regular:
                yield where, regular[member.linkname]
