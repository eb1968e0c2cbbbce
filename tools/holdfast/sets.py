"""The base sets a root image starts from, and the files every root has."""

# Packages that only maintainer scripts and package management need. What is
# reached through them alone stays out of every root.
SCRIPTS = (
    "adduser", "debconf", "dpkg", "init-system-helpers", "install-info",
    "libpam-modules", "libpam-runtime", "lsb-base", "passwd", "systemd",
    "sysvinit-utils", "ucf", "udev", "usrmerge",
)

# What packages of the base sets, and Erlang's, name and do without there. Any
# other package that depends on one of them gets it.
OPTIONAL = (
    "libpam0g", "perl", "perl-base", "procps", "python3", "tar", "tzdata",
    # Erlang applications that others name but do not call.
    "erlang-ftp", "erlang-mnesia", "erlang-snmp", "erlang-tftp", "erlang-wx",
    "erlang-observer", "erlang-et", "erlang-megaco", "erlang-doc",
)

_SYSTEM = ["busybox-static", "libc6", "libc-bin", "ncurses-base", "netbase"]
_ERLANG = ["erlang-base"]
_MORE = ["erlang-asn1", "erlang-crypto", "erlang-inets", "erlang-os-mon",
         "erlang-public-key", "erlang-runtime-tools", "erlang-ssl",
         "erlang-syntax-tools", "erlang-tools", "ca-certificates"]

# Name: packages, and whether only what the Erlang shell needs is kept.
SETS = {
    "none": ([], False),
    "busybox": (["busybox-static"], False),
    "minimal": (["busybox-static", "libc6", "ncurses-base", "libc-bin"] + _ERLANG, True),
    "default": (_SYSTEM + _ERLANG + _MORE, False),
    "system": (_SYSTEM + ["libstdc++6", "libtinfo6", "zlib1g", "libssl3", "libsystemd0",
                          "ca-certificates"], False),
}

DIRECTORIES = {
    "dev": 0o755, "etc": 0o755, "home": 0o755, "mnt": 0o755, "proc": 0o555,
    "root": 0o700, "run": 0o755, "srv": 0o755, "sys": 0o555, "tmp": 0o1777,
    "var": 0o755, "var/log": 0o755, "var/tmp": 0o1777, "usr/local/bin": 0o755,
}

LINKS = {"var/run": "../run", "var/lock": "../run/lock", "etc/mtab": "../proc/self/mounts"}

FILES = {
    "etc/passwd": """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
""",
    "etc/group": """\
root:x:0:
daemon:x:1:
tty:x:5:
disk:x:6:
mail:x:8:
www-data:x:33:
users:x:100:
nogroup:x:65534:
""",
    "etc/shells": "/bin/sh\n",
    "etc/hosts": """\
127.0.0.1\tlocalhost
127.0.1.1\tholdfast
::1\tlocalhost ip6-localhost ip6-loopback
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
""",
    "etc/hostname": "holdfast\n",
    "etc/host.conf": "multi on\n",
    "etc/nsswitch.conf": """\
passwd:    files
group:     files
hosts:     files dns
networks:  files
protocols: files
services:  files
""",
    "etc/profile": """\
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
[ -n "$PS1" ] && PS1='\\w \\$ '
""",
}
