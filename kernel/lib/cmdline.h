/*
 * The kernel command line, in the grammar of a Phantom boot entry:
 *
 *	[loader's file name] startup-args and environment in any order [-- argv...]
 *
 * Startup args: `-d N`, `-i N`, `-e N`, `-f N` (also `-d=N`), `quiet`, `clusters=N`, `cores=N` and
 * other words of the kernel. Every other `key=value` is the environment of the first process, and
 * what follows `--` is its argv. A word may be quoted with '...' or "..."; a backslash outside
 * single quotes takes the next character as it is. A word the kernel does not know is reported.
 */
#ifndef LIB_CMDLINE_H
#define LIB_CMDLINE_H

#include "lib/types.h"

#define CMDLINE_WORDS 64

struct cmdline {
	char text[2048];		   /* the words, each terminated */
	int max_error, max_info, max_flow; /* -d or -e, -i, -f; -1: not given */
	bool quiet;
	unsigned clusters; /* 0: as the firmware says */
	unsigned cores;	   /* per cluster; 0: all */
	u32 kill;	   /* test: an APIC id that is not started; -1: none */
	unsigned nenv, nargv, nunknown;
	const char *env[CMDLINE_WORDS]; /* key=value */
	const char *argv[CMDLINE_WORDS];
	const char *unknown[CMDLINE_WORDS];
	bool truncated; /* more words or text than fit, or an open quote */
};

/* Parses `s`, at most n bytes or up to its end. Never fails: what is wrong is in unknown[]. */
void cmdline_parse(struct cmdline *c, const char *s, size_t n);

#endif
