/*
 * What the boot procedure decided, for the log and for /proc/holdfast/boot, which also holds each
 * cluster's boot_info against what is in memory now: both checksums, the page that maps kcode, and
 * where the memory went. Text is added by any core without a lock: room is taken first.
 */
#include "arch/pte.h"
#include "boot/boot.h"
#include "cluster/cluster.h"
#include "file/dentry.h"
#include "lib/atomic.h"
#include "lib/checksum.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/frame.h"

#define LINE 200

void
boot_say(struct boot_state *st, enum klog_level level, const char *fmt, ...)
{
	struct boot_report *r = st->report;
	char line[LINE];
	va_list ap;
	u32 n, at;

	line[0] = (char)('0' + level);
	va_start(ap, fmt);
	n = 1 + (u32)format_v(line + 1, sizeof(line) - 2, fmt, ap);
	va_end(ap);
	n = min(n, (u32)sizeof(line) - 2);
	if (r != &st->early)
		klog(level, "boot", "%.*s", (int)n - 1, line + 1);
	line[n++] = '\n';
	at = atomic_fetch_add(&r->len, n);
	if (at + n <= sizeof(r->text))
		memcpy(r->text + at, line, n);
}

/* The end of the line at `at`, or NULL when there is no whole one. */
static const char *
line_end(const struct boot_report *r, u32 at)
{
	u32 len = min(atomic_load(&r->len), (u32)sizeof(r->text));

	return at < len ? memchr(r->text + at, '\n', len - at) : NULL;
}

void
boot_say_kept(struct boot_state *st)
{
	const struct boot_report *r = st->report;
	const char *end;

	for (u32 at = 0; (end = line_end(r, at)); at = (u32)(end + 1 - r->text))
		klog((enum klog_level)(r->text[at] - '0'), "boot", "%.*s",
		     (int)(end - r->text - at - 1), r->text + at + 1);
}

/* --- /proc/holdfast/boot --- */

struct out {
	char *buf;
	size_t size, len;
};

/* Another cluster's, through the physmap. */
static const struct boot_info *
info_of(u32 cxy)
{
	return phys_to_virt(boot_info.cluster[cxy].kdata_paddr);
}

/* The page directory's entry that maps kcode in the cluster's own tables. */
static pte_t
kcode_entry(const struct boot_info *b)
{
	const pte_t *t = phys_to_virt(b->pml4_paddr);

	for (unsigned level = 3; level > 1; level--) {
		pte_t e = t[pte_index(KCODE_BASE, level)];

		if (!(e & PTE_P) || (e & PTE_PS))
			return 0;
		t = pte_table(e);
	}
	return t[pte_index(KCODE_BASE, 1)];
}

static void
show_machine(struct out *o, const struct boot_report *r)
{
	const struct boot_info *b = &boot_info;

	gen_printf(
		o->buf, o->size, &o->len,
		"source: %s\nclusters: %u\ncores: %u\nboot_cxy: %u\nio_cxy: %u\ninit_cxy: %u\n"
		"paddr_bits: %u\ntsc_khz: %u\nlapic: %lx%s\nhpet: %lx\necam: %lx, buses %u to %u\n"
		"rsdp: %lx\n",
		r->source, b->clusters, machine()->ncores, b->boot_cxy, b->io_cxy, b->init_cxy,
		b->paddr_bits, b->tsc_khz, b->lapic_paddr, b->x2apic ? ", x2apic" : "",
		b->hpet_paddr, b->ecam_paddr, b->ecam_bus_first, b->ecam_bus_last, b->rsdp);
	if (r->barrier_rounds)
		gen_printf(o->buf, o->size, &o->len, "barriers: %lu rounds, %ld ns each\n",
			   r->barrier_rounds, r->barrier_ns);
	for (u32 i = 0; i < b->ext_dev_nr; i++)
		gen_printf(o->buf, o->size, &o->len, "device: type %x at %lx in cluster %u\n",
			   b->ext_dev[i].type, b->ext_dev[i].base, b->ext_dev[i].cxy);
}

static void
show_cluster(struct out *o, u32 cxy)
{
	const struct boot_info *b = info_of(cxy);
	const struct boot_cluster *c = &b->cluster[cxy];
	pte_t e = kcode_entry(b);

	gen_printf(o->buf, o->size, &o->len, "cluster %u: pxm %u, memory %lx to %lx%s, cores",
		   b->cxy, c->pxm, c->lpa_base, c->lpa_base + c->lpa_size,
		   c->flags & BOOT_CLUSTER_JOINED ? ", of other domains too" : "");
	for (u32 i = 0; i < b->cores_nr; i++)
		gen_printf(o->buf, o->size, &o->len, " %u", b->core[i].gid);
	gen_printf(o->buf, o->size, &o->len, "\ncluster %u: distances", b->cxy);
	for (u32 i = 0; i < b->clusters; i++)
		gen_printf(o->buf, o->size, &o->len, " %u", b->distance_row[i]);
	gen_printf(o->buf, o->size, &o->len, "\ncluster %u: ranges", b->cxy);
	for (u32 i = 0; i < b->range_nr; i++)
		gen_printf(o->buf, o->size, &o->len, " %lx+%lx", b->range[i].base,
			   b->range[i].size);
	gen_printf(o->buf, o->size, &o->len,
		   "\ncluster %u: boot_info at %lx of kdata, kcode %lx check %08x now %08x, "
		   "general %08x now %08x\n",
		   b->cxy, (vaddr_t)&boot_info - KDATA_BASE, b->kcode_paddr, b->kcode_crc,
		   checksum32(phys_to_virt(b->kcode_paddr), b->kcode_size), b->crc_general,
		   instance_general_crc(b));
	gen_printf(o->buf, o->size, &o->len, "cluster %u: kcode page %s %s %s %s\n", b->cxy,
		   e & PTE_PS ? "2M" : "small", e & PTE_W ? "writable" : "read-only",
		   e & PTE_NX ? "no-execute" : "execute", e & PTE_G ? "global" : "not-global");
}

/* Pages: what a cluster has is what it gave to its allocator and what the kernel keeps. */
static void
show_memory(struct out *o, const struct boot_report *r, u32 cxy)
{
	const struct boot_info *b = info_of(cxy);
	const struct bootmem *bm = &machine()->cluster[cxy]->bootmem;
	struct memory_info mi;
	u64 ram = 0, used;

	memory_info_cluster(cxy, &mi);
	for (u32 i = 0; i < b->range_nr; i++)
		ram += b->range[i].size / PAGE_SIZE;
	used = ALIGN_UP(bm->next - bm->start, PAGE_SIZE) - r->stacks[cxy];
	gen_printf(o->buf, o->size, &o->len,
		   "cluster %u: pages %lu, given %lu, kernel %lu, tables %lu, image %lu, bad %lu\n",
		   cxy, ram, mi.total - mi.reserved, r->anchor / PAGE_SIZE, used / PAGE_SIZE,
		   r->module[cxy] / PAGE_SIZE, r->bad_in[cxy] / PAGE_SIZE);
}

static size_t
show(char *buf, size_t size, void *arg)
{
	const struct boot_report *r = arg;
	struct out o = {buf, size, 0};
	const char *end;

	show_machine(&o, r);
	for (u32 i = 0; i < boot_info.clusters; i++) {
		show_cluster(&o, i);
		show_memory(&o, r, i);
	}
	for (u32 at = 0; (end = line_end(r, at)); at = (u32)(end + 1 - r->text))
		gen_printf(buf, size, &o.len, "decided: %.*s\n", (int)(end - r->text - at - 1),
			   r->text + at + 1);
	return o.len;
}

int
boot_report_register(void)
{
	static const struct genfile_ops ops = {show};

	return procfs_add("holdfast/boot", 0444, &ops, machine()->boot_report);
}
