/*
 * The kernel command line, in the grammar of a Phantom boot entry:
 *
 *	[loader's file name] startup-args and environment in any order [-- argv...]
 *
 * Startup args: `-d N`, `-i N`, `-e N`, `-f N` (also `-d=N`), `quiet`, `clusters=N` and the other
 * words of doc/boot.md; numbers are decimal, an address may be 0x... . Every other `key=value` is
 * the environment of the first process, and what follows `--` is its argv. A word may be quoted
 *with
 * '...' or "..."; a backslash outside single quotes takes the next character as it is. A word the
 * kernel does not know is reported.
 */
#ifndef LIB_CMDLINE_H
#define LIB_CMDLINE_H

#include "lib/types.h"

#define CMDLINE_WORDS 64
#define CMDLINE_KILLS 16

struct cmdline {
	char text[2048];		   /* the words, each terminated */
	int max_error, max_info, max_flow; /* -d or -e, -i, -f; -1: not given */
	bool quiet;
	unsigned clusters;   /* 0: as the firmware says */
	unsigned cores;	     /* per cluster; 0: all */
	unsigned mem;	     /* MiB per cluster; 0: all */
	u32 io;		     /* cluster whose first core starts the devices; -1: not given */
	bool persist_verify; /* each cut compares what has not changed with what was stored */
	bool replicas_off;   /* one copy of the kernel's code, tables and objects, to compare */
	bool noarch;	     /* an arch_info.bin is not looked at */
	bool count_errors;   /* which call returned which error (linux/errors.c) */
	bool memtest_full;   /* all memory is tested, not only what the kernel begins with */
	unsigned nkill;
	u32 kill[CMDLINE_KILLS]; /* test: APIC ids of cores that count as dead */
	u64 badmem;		 /* test: the memory test finds this address bad; -1: none */
	u32 odd;		 /* test: an APIC id that counts as another kind of processor */
	u32 stall;		 /* test: an APIC id that comes to no barrier; -1: none */
	unsigned patience;	 /* seconds a barrier waits before it reports; 0: the usual */
	unsigned disk_patience;	 /* seconds a disk has for a request; 0: the usual */
	unsigned barriers;	 /* rounds of the barrier test */
	unsigned nenv, nargv, nunknown;
	const char *env[CMDLINE_WORDS]; /* key=value */
	const char *argv[CMDLINE_WORDS];
	const char *unknown[CMDLINE_WORDS];
	bool truncated; /* more words or text than fit, or an open quote */
};

/* Parses `s`, at most n bytes or up to its end. Never fails: what is wrong is in unknown[]. */
void cmdline_parse(struct cmdline *c, const char *s, size_t n);

#endif
