/*
 * A QEMU plugin that counts the instructions a guest executes, so that two
 * kernels can be compared on a busy host: bench/profile.py runs it.
 *
 * Blocks of code are counted by address, each processor for itself. Some
 * instructions cost an emulator far more than others, or tell what a kernel
 * does, and are counted by kind and address too (kinds[] below). The guest
 * names the parts of its run with the instructions of bench/guest/mark.h; at
 * each, what was counted since the last is written to the file given as
 * out=FILE. first=N, after it, counts from power-on as section N.
 *
 *	section N
 *	i ADDRESS INSTRUCTIONS       a block, hexadecimal address
 *	KIND ADDRESS TIMES
 *
 * Source: qemu-plugin.h of QEMU 7.2, docs/devel/tcg-plugins.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../guest/mark.h"
#include "qemu-plugin.h"

#define CPUS	8
#define BUCKETS (1u << 18)

/* What is counted: executions of a block of `size` instructions, or of one of a kind. */
struct site {
	struct site *next;
	const char *kind;
	uint64_t address;
	uint64_t size;
	uint64_t runs[CPUS]; /* each written by its processor alone */
};

struct kind {
	const char *name;
	uint8_t bytes[3], length;
	uint8_t mask; /* of the last byte */
};

static const struct kind kinds[] = {
	{"syscall", {0x0f, 0x05}, 2, 0xff},
	{"sysret", {0x48, 0x0f, 0x07}, 3, 0xff},
	{"iret", {0x48, 0xcf}, 2, 0xff},
	{"cr3", {0x0f, 0x22, 0xd8}, 3, 0xf8},
	{"invlpg", {0x0f, 0x01, 0x38}, 3, 0x38},
	{"wrmsr", {0x0f, 0x30}, 2, 0xff},
	{"hlt", {0xf4}, 1, 0xff},
	{"pause", {0xf3, 0x90}, 2, 0xff},
	{"rdtsc", {0x0f, 0x31}, 2, 0xff},
	{"cpuid", {0x0f, 0xa2}, 2, 0xff},
};

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct site *sites[BUCKETS];
static FILE *out;
static int section;

static struct site *
site_of(const char *kind, uint64_t address, uint64_t size)
{
	uint64_t hash = (address ^ size << 40 ^ (uintptr_t)kind << 8) * 0x9e3779b97f4a7c15u;
	struct site **head = &sites[hash >> 46], *s;

	pthread_mutex_lock(&lock);
	for (s = *head; s; s = s->next)
		if (s->address == address && s->size == size && s->kind == kind)
			break;
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			abort();
		*s = (struct site){.next = *head, .kind = kind, .address = address, .size = size};
		*head = s;
	}
	pthread_mutex_unlock(&lock);
	return s;
}

static void
ran(unsigned int cpu, void *site)
{
	((struct site *)site)->runs[cpu % CPUS]++;
}

/* Writes what was counted for the section that ends, and begins the next. */
static void
next_section(int number)
{
	pthread_mutex_lock(&lock);
	if (section)
		fprintf(out, "section %d\n", section);
	for (unsigned i = 0; i < BUCKETS; i++) {
		for (struct site *s = sites[i]; s; s = s->next) {
			uint64_t runs = 0;

			for (unsigned cpu = 0; cpu < CPUS; cpu++)
				runs += s->runs[cpu];
			memset(s->runs, 0, sizeof(s->runs));
			if (runs && section)
				fprintf(out, "%s %" PRIx64 " %" PRIu64 "\n", s->kind, s->address,
					runs * s->size);
		}
	}
	fflush(out);
	section = number;
	pthread_mutex_unlock(&lock);
}

static void
marked(unsigned int cpu, void *number)
{
	(void)cpu;
	next_section((int)(intptr_t)number);
}

static bool
is_kind(const struct kind *k, const uint8_t *bytes, size_t size)
{
	size_t last = k->length - 1u;

	return size >= k->length && memcmp(bytes, k->bytes, last) == 0 &&
	       (bytes[last] & k->mask) == k->bytes[last] &&
	       !(strcmp(k->name, "invlpg") == 0 && bytes[last] >= 0xc0);
}

/* The section of a mark, or -1. */
static int
mark_of(const uint8_t *bytes, size_t size)
{
	uint32_t displacement;

	if (size != 7 || bytes[0] != 0x0f || bytes[1] != 0x1f || bytes[2] != 0x80)
		return -1;
	memcpy(&displacement, bytes + 3, sizeof(displacement));
	displacement -= MARK_BASE;
	return displacement <= MARK_LAST ? (int)displacement : -1;
}

static void
look_at(struct qemu_plugin_insn *insn)
{
	const uint8_t *bytes = qemu_plugin_insn_data(insn);
	size_t size = qemu_plugin_insn_size(insn);
	int number = mark_of(bytes, size);

	if (number >= 0)
		qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, QEMU_PLUGIN_CB_NO_REGS,
						       (void *)(intptr_t)number);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!is_kind(&kinds[i], bytes, size))
			continue;
		qemu_plugin_register_vcpu_insn_exec_cb(
			insn, ran, QEMU_PLUGIN_CB_NO_REGS,
			site_of(kinds[i].name, qemu_plugin_insn_vaddr(insn), 1));
		return;
	}
}

static void
translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);

	(void)id;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, ran, QEMU_PLUGIN_CB_NO_REGS,
					     site_of("i", qemu_plugin_tb_vaddr(tb), n));
	for (size_t i = 0; i < n; i++)
		look_at(qemu_plugin_tb_get_insn(tb, i));
}

static void
ended(qemu_plugin_id_t id, void *data)
{
	(void)id;
	(void)data;
	next_section(0);
	fclose(out);
}

QEMU_PLUGIN_EXPORT int
qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	(void)info;
	if (argc < 1 || strncmp(argv[0], "out=", 4) != 0) {
		fprintf(stderr, "plugin: out=FILE is needed\n");
		return -1;
	}
	if (argc > 1 && strncmp(argv[1], "first=", 6) == 0)
		section = atoi(argv[1] + 6);
	out = fopen(argv[0] + 4, "w");
	if (!out) {
		perror(argv[0] + 4);
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, ended, NULL);
	return 0;
}
