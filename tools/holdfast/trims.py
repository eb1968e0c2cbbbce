"""What is left out of every root image: the only list of trims.

Patterns are shell patterns over folded paths (no leading slash, /lib is
usr/lib); `*` also matches a slash.
"""
import fnmatch
import re

# Nothing a program opens while it runs.
EVERYWHERE = (
    "usr/share/doc/*", "usr/share/man/*", "usr/share/info/*", "usr/share/lintian/*",
    "usr/share/bug/*", "usr/share/doc-base/*", "usr/share/menu/*",
    "usr/share/applications/*", "usr/share/pixmaps/*", "usr/share/icons/*",
    "usr/share/bash-completion/*", "usr/share/zsh/*", "usr/share/fish/*",
    "usr/share/gdb/*", "usr/share/libgcrypt20/*", "usr/share/locale/*",
    "usr/share/i18n/*", "usr/share/initramfs-tools/*", "usr/share/adduser/*",
    "usr/lib/systemd/*", "usr/lib/tmpfiles.d/*", "usr/lib/sysusers.d/*",
    "usr/lib/x86_64-linux-gnu/gconv/*", "usr/lib/x86_64-linux-gnu/audit/*",
    "usr/share/gcc/*", "usr/share/tabset/*",
    "etc/init.d/*", "etc/cron*", "etc/logrotate.d/*", "etc/bindresvport.blacklist",
    "etc/default/*", "etc/systemd/*", "etc/ca-certificates/update.d/*",
    # libc-bin: only getent and the C.UTF-8 locale are of use here.
    "usr/bin/iconv", "usr/bin/locale", "usr/bin/localedef", "usr/bin/ld.so",
    "usr/bin/catchsegv", "usr/bin/tzselect", "usr/bin/zdump", "usr/bin/pldd",
    "usr/sbin/iconvconfig", "usr/sbin/zic", "usr/sbin/ldconfig*",
    "usr/share/libc-bin/*",
    # Erlang: documentation, sources and tools of the runtime's developers.
    "usr/lib/erlang/man/*", "usr/lib/erlang/lib/*/doc/*", "usr/lib/erlang/lib/*/examples/*",
    "usr/lib/erlang/erts-*/bin/typer", "usr/lib/erlang/erts-*/bin/yielding_c_fun",
    "usr/lib/erlang/lib/erl_interface-*", "usr/lib/erlang/lib/erts-*/src/*",
    "usr/lib/erlang/releases/*/*.script", "usr/lib/erlang/bin/*.script",
    "usr/lib/erlang/usr/*",
)

# What the smallest image that reaches the Erlang shell also lives without.
MINIMAL = (
    "usr/lib/erlang/lib/compiler-*", "usr/lib/erlang/lib/syntax_tools-*",
    "usr/lib/erlang/lib/sasl-*",
    "usr/lib/erlang/erts-*/bin/epmd", "usr/lib/erlang/erts-*/bin/dyn_erl",
    "usr/lib/erlang/erts-*/bin/erl_call", "usr/lib/erlang/erts-*/bin/erlc",
    "usr/lib/erlang/erts-*/bin/escript", "usr/lib/erlang/erts-*/bin/heart",
    "usr/lib/erlang/erts-*/bin/*run_erl", "usr/lib/erlang/erts-*/bin/to_erl",
    "usr/lib/erlang/erts-*/bin/start*",
    "usr/lib/erlang/bin/epmd", "usr/lib/erlang/bin/erl_call", "usr/lib/erlang/bin/erlc",
    "usr/lib/erlang/bin/escript", "usr/lib/erlang/bin/run_erl", "usr/lib/erlang/bin/to_erl",
    "usr/lib/erlang/bin/start", "usr/lib/erlang/bin/start_erl",
    "usr/bin/epmd", "usr/bin/erl_call", "usr/bin/erlc", "usr/bin/escript",
    "usr/bin/run_erl", "usr/bin/to_erl", "usr/bin/start_embedded",
    "usr/bin/getent", "usr/bin/ldd", "usr/bin/getconf",
    # Modules that the shell does not load by itself.
    "usr/lib/erlang/lib/stdlib-*/ebin/dets*", "usr/lib/erlang/lib/stdlib-*/ebin/qlc*",
    "usr/lib/erlang/lib/stdlib-*/ebin/sofs.beam", "usr/lib/erlang/lib/stdlib-*/ebin/zip.beam",
    "usr/lib/erlang/lib/stdlib-*/ebin/erl_tar.beam",
    "usr/lib/erlang/lib/stdlib-*/ebin/file_sorter.beam",
    "usr/lib/erlang/lib/kernel-*/ebin/disk_log*", "usr/lib/erlang/lib/kernel-*/ebin/pg*",
    "usr/lib/erlang/lib/kernel-*/ebin/dist_ac.beam",
    "usr/lib/erlang/lib/kernel-*/ebin/wrap_log_reader.beam",
    "usr/lib/erlang/lib/*/ebin/*.appup", "usr/lib/erlang/releases/*/start_all_example.rel",
)


def matcher(patterns):
    """A function that tells whether a path is one of the patterns."""
    text = "|".join("(?:%s)" % fnmatch.translate(p) for p in patterns)
    return re.compile(text).match
