/*
 * A QEMU plugin that tells how much of what a guest's kernel touches lies in
 * the memory of another NUMA node than the processor's: bench/locality.py.
 *
 * Once the first program runs, loads and stores of instructions in the
 * kernel's half are counted by the region of their address and by whether the node of the physical
 * address is that of the processor. Translations that the processor looks up itself are not seen by
 * plugins: a model of a TLB (direct-mapped, emptied by a load of CR3) counts how often it would go
 * to the page tables, for each processor.
 *
 * Arguments: out=FILE, cores=N per node, bytes=N per node. Processors and
 * memory are dealt to the nodes in order, below the hole for devices.
 * Source: qemu-plugin.h of QEMU 7.2, docs/devel/tcg-plugins.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu-plugin.h"

#define PROCESSORS 64
#define TLB_SIZE   1024
#define KERNEL	   (1ull << 63)
#define PROGRAMS   (1ull << 40) /* below it the boot procedure has data too */
#define INSN	   8		/* bytes of an instruction that are looked at */

/* Regions of kernel/arch/layout.h, by their first address. */
static const struct region {
	const char *name;
	uint64_t base;
} region[] = {
	{"user", 0},
	{"physmap", 0xffff800000000000},
	{"frames", 0xffffc00000000000},
	{"stacks", 0xffffd00000000000},
	{"devices", 0xffffe00000000000},
	{"code", 0xffffffff80000000},
	{"constants", 0xffffffff80200000},
	{"statics", 0xffffffff80400000},
};

#define REGIONS (sizeof(region) / sizeof(region[0]))

struct processor {
	uint64_t own[REGIONS], other[REGIONS]; /* accesses of the kernel */
	uint64_t walks[2];		       /* TLB misses: of programs, of the kernel */
	uint64_t tlb[TLB_SIZE];
	char pad[64];
};

/* An instruction of the kernel, for the list of those that leave most; counted without care for
 * other processors. Never freed: translations may go, their counts stay. */
struct site {
	struct site *next;
	uint64_t va, other;
};

static struct site *sites;

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static struct processor processor[PROCESSORS];
static uint64_t cores = 1, bytes = 1;
static const char *out;
static int started; /* a program runs: the boot is over */

static unsigned
region_of(uint64_t va)
{
	unsigned i = REGIONS - 1;

	while (va < region[i].base)
		i--;
	return i;
}

/* QEMU 7.2 adds up where a node's memory begins among its own blocks and among the guest's
 * addresses, which are the same when each node has a block: twice the node's number. */
static uint64_t
node_of(uint64_t at)
{
	return at / bytes / 2;
}

static void
look_up(struct processor *p, uint64_t va, int kernel)
{
	uint64_t page = va >> 12;

	if (p->tlb[page % TLB_SIZE] == page)
		return;
	p->tlb[page % TLB_SIZE] = page;
	p->walks[kernel]++;
}

static void
by_program(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t va, void *data)
{
	if (va >= PROGRAMS && va < KERNEL)
		started = 1;
	look_up(&processor[cpu % PROCESSORS], va, 0);
}

static void
by_kernel(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t va, void *data)
{
	struct processor *p = &processor[cpu % PROCESSORS];
	struct site *site = data;
	struct qemu_plugin_hwaddr *at = qemu_plugin_get_hwaddr(info, va);

	if (!started)
		return;
	look_up(p, va, 1);
	if (at == NULL || qemu_plugin_hwaddr_is_io(at))
		return;
	if (node_of(qemu_plugin_hwaddr_phys_addr(at)) == cpu / cores) {
		p->own[region_of(va)]++;
	} else {
		p->other[region_of(va)]++;
		site->other++;
	}
}

static void
new_space(unsigned cpu, void *data)
{
	memset(processor[cpu % PROCESSORS].tlb, 0xff, sizeof(processor[0].tlb));
}

/* mov %rXX, %cr3 */
static int
loads_cr3(const struct qemu_plugin_insn *insn)
{
	const uint8_t *b = qemu_plugin_insn_data(insn);
	size_t n = qemu_plugin_insn_size(insn), i = n > 0 && (b[0] & 0xf0) == 0x40;

	return n >= i + 3 && b[i] == 0x0f && b[i + 1] == 0x22 && (b[i + 2] & 0x38) == 0x18;
}

static struct site *
site_of(uint64_t va)
{
	struct site *s = calloc(1, sizeof(*s));

	if (s == NULL)
		abort();
	s->va = va;
	s->next = __atomic_load_n(&sites, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&sites, &s->next, s, 0, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
	return s;
}

static void
translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb), i;

	for (i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t va = qemu_plugin_insn_vaddr(insn);
		int kernel = (va & KERNEL) != 0;

		qemu_plugin_register_vcpu_mem_cb(insn, kernel ? by_kernel : by_program,
						 QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
						 kernel ? site_of(va) : NULL);
		if (kernel && loads_cr3(insn))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, new_space,
							       QEMU_PLUGIN_CB_NO_REGS, NULL);
	}
}

static void
ended(qemu_plugin_id_t id, void *data)
{
	FILE *f = fopen(out, "w");
	const struct site *s;
	unsigned c, r;

	if (f == NULL)
		return;
	for (c = 0; c < PROCESSORS; c++) {
		const struct processor *p = &processor[c];

		for (r = 0; r < REGIONS; r++)
			if (p->own[r] || p->other[r])
				fprintf(f, "%u %s %" PRIu64 " %" PRIu64 "\n", c, region[r].name,
					p->own[r], p->other[r]);
		if (p->walks[0] || p->walks[1])
			fprintf(f, "%u walks %" PRIu64 " %" PRIu64 "\n", c, p->walks[0],
				p->walks[1]);
	}
	for (s = sites; s != NULL; s = s->next)
		if (s->other)
			fprintf(f, "site %" PRIx64 " %" PRIu64 "\n", s->va, s->other);
	fclose(f);
}

QEMU_PLUGIN_EXPORT int
qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++) {
		if (strncmp(argv[i], "out=", 4) == 0)
			out = argv[i] + 4;
		else if (strncmp(argv[i], "cores=", 6) == 0)
			cores = strtoull(argv[i] + 6, NULL, 0);
		else if (strncmp(argv[i], "bytes=", 6) == 0)
			bytes = strtoull(argv[i] + 6, NULL, 0);
	}
	if (out == NULL || cores == 0 || bytes == 0)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, ended, NULL);
	return 0;
}
