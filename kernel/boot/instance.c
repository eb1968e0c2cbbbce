/*
 * Makes the kernel instance of a cluster: its own kcode, krodata and kdata from the pristine
 * copies, its page tables, the structures of its cores, its boot_info. Each cluster's first core
 * does this for its own cluster (partly parallel phase); cluster 0's does it while it is still
 * alone.
 */
#include "arch/apic.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/trap.h"
#include "boot/boot.h"
#include "cluster/cluster.h"
#include "core/klog.h"
#include "core/klog_ring.h"
#include "core/panic.h"
#include "core/random_state.h"
#include "core/sched.h"
#include "core/thread.h"
#include "lib/assert.h"
#include "lib/checksum.h"
#include "lib/format.h"
#include "lib/string.h"
#include "proc/trap.h"

static void *
need(struct boot_plan *p, size_t size, size_t align)
{
	void *v = bootmem_alloc_from(&p->mem, size, align);

	if (!v)
		panic("cluster %u: no memory for the structures of its cores", p->cxy);
	return v;
}

static void
copy_part(struct boot_plan *p, paddr_t to, paddr_t from, u64 size, const char *what)
{
	memcpy(phys_to_virt(to), phys_to_virt(from), size);
	if (memcmp(phys_to_virt(to), phys_to_virt(from), size) != 0)
		panic("cluster %u: memory at %llx does not keep %s", p->cxy, (unsigned long long)to,
		      what);
}

void
instance_build(struct boot_state *st, struct boot_plan *p)
{
	const struct boot_low *low = st->low;
	paddr_t krodata = p->anchor + HUGE_SIZE;

	copy_part(p, p->anchor, low->kcode, low->kcode_size, "kcode");
	memset(phys_to_virt(p->anchor + low->kcode_size), 0xcc, HUGE_SIZE - low->kcode_size);
	copy_part(p, krodata, low->krodata, low->krodata_size, "krodata");
	copy_part(p, p->kdata, low->kdata, low->kdata_file_size, "kdata");
	memset(phys_to_virt(p->kdata + low->kdata_file_size), 0,
	       low->kdata_size - low->kdata_file_size);
	p->pml4 = tables_cluster(st, p);
}

static struct cluster *
cluster_struct(const struct boot_plan *p)
{
	return phys_to_virt(p->kdata + ((vaddr_t)&local_cluster - KDATA_BASE));
}

static u64
random_guard(const void *salt)
{
	u64 v = rdtsc() ^ (u64)salt;
	u32 r[4];

	cpuid(1, 0, r);
	if (r[2] & (1u << 30)) {
		u64 hw;

		__asm__ volatile("rdrand %0" : "=r"(hw) : : "cc");
		v ^= hw;
	}
	return v * 0x9e3779b97f4a7c15UL & ~0xffUL; /* a NUL byte stops string overruns */
}

struct core *
instance_core(struct boot_state *st, struct boot_plan *p, u32 lid)
{
	struct core *c = need(p, sizeof(*c), 64);

	if (!p->stacks) {
		p->stacks_size = (u64)p->ncores * BOOT_STACK;
		p->stacks = virt_to_phys(need(p, p->stacks_size, PAGE_SIZE));
	}
	c->machine = st->machine;
	c->cluster = cluster_struct(p);
	if (lid == 0)
		st->machine->idle[p->cxy] = need(p, sizeof(*c->idle_cores), 64);
	c->idle_cores = st->machine->idle[p->cxy];
	c->klog = need(p, sizeof(*c->klog), 64);
	klog_ring_init(c->klog);
	c->random = need(p, sizeof(*c->random), 64);
	c->irq_handlers = need(p, IRQ_VECTORS * sizeof(irq_handler), 64);
	c->irq_args = need(p, IRQ_VECTORS * sizeof(void *), 64);
	c->idle = need(p, sizeof(*c->idle), 64);
	c->idle->state = THREAD_READY;
	c->idle->core = c;
	c->idle->home = p->cxy;
	c->idle->affinity = 0;
	c->idle->flags = TF_KTHREAD;
	c->idle->stack = phys_to_virt(p->stacks + lid * BOOT_STACK);
	string_copy(c->idle->name, "boot", sizeof(c->idle->name));
	list_init(&c->idle->all);
	c->arch.self = &c->arch;
	c->arch.time = st->machine->clock->params;
	c->arch.current = c->idle;
	c->arch.canary = c->idle->canary = random_guard(c);
	c->arch.apic_id = p->gid[lid];
	c->arch.cxy = p->cxy;
	c->arch.lid = lid;
	c->arch.trap_ops = &proc_trap_ops;
	sched_init_core(c); /* run queue, timer queue: barriers have a time limit */
	p->core[lid] = c;
	return c;
}

/* Drops cores that did not come: lids stay dense. */
static void
number_cores(struct boot_state *st, struct boot_plan *p)
{
	struct machine *m = st->machine;
	struct cluster *cl = &local_cluster;
	u32 lid = 0;

	for (u32 i = 0; i < p->ncores; i++) {
		struct core *c = p->core[i];

		if (p->dead[i] || !c)
			continue;
		c->arch.lid = lid;
		c->arch.index = p->index_base + lid;
		m->core[c->arch.index] = c;
		m->cluster_cores[p->cxy] |= 1UL << c->arch.index;
		c->idle->affinity = 1UL << c->arch.index;
		cl->core[lid] = c;
		boot_info.core[lid] = (struct boot_core){.gid = p->gid[i], .lid = lid, .state = 1};
		lid++;
	}
	assert(lid == p->nalive);
	cl->cores_nr = boot_info.cores_nr = lid;
}

static void
fill_clusters(struct boot_state *st)
{
	for (u32 i = 0; i < st->nclusters; i++) {
		const struct boot_plan *q = &st->plan[i];
		struct boot_cluster *c = &boot_info.cluster[i];
		u64 low = ~0UL, high = 0;

		for (u32 k = 0; k < q->nranges; k++) {
			low = min(low, q->range[k].base);
			high = max(high, q->range[k].base + q->range[k].size);
		}
		*c = (struct boot_cluster){
			.cxy = q->cxy,
			.cores = (u16)q->nalive,
			.flags = BOOT_CLUSTER_INSTANCE | (q->joined ? BOOT_CLUSTER_JOINED : 0),
			.pxm = q->pxm,
			.lpa_base = low,
			.lpa_size = high - low,
			.kdata_paddr = q->kdata,
		};
	}
	memcpy(boot_info.distance, st->machine->distance, sizeof(boot_info.distance));
}

static void
add_device(u32 function, u64 base, u32 param)
{
	struct boot_info *b = &boot_info;

	if (base && b->ext_dev_nr < BOOT_DEVICES)
		b->ext_dev[b->ext_dev_nr++] = (struct arch_device){
			.base = base,
			.type = function << 16,
			.cxy = b->io_cxy,
			.channels = 1,
			.bdf = ARCH_NO_BDF,
			.param[0] = param,
		};
}

/* The cluster that a domain became, or became part of: the nearest; the boot cluster when clusters
 * are no domains. */
static u16
cluster_of(struct boot_state *st, u16 domain)
{
	u16 best = BOOT_CLUSTER;

	if (domain == ARCH_NO_DOMAIN || st->plan[BOOT_CLUSTER].domain == ARCH_NO_DOMAIN)
		return BOOT_CLUSTER;

	for (u32 i = 0; i < st->nclusters; i++) {
		if (st->plan[i].domain == domain)
			return (u16)i;
		if (st->arch.distance[domain][st->plan[i].domain] <
		    st->arch.distance[domain][st->plan[best].domain])
			best = (u16)i;
	}
	return best;
}

/* What ACPI names, and the devices of an arch_info.bin. */
static void
fill_external(struct boot_state *st)
{
	const struct acpi *a = &st->tables;
	struct boot_info *b = &boot_info;

	for (u32 i = 0; i < a->nioapics; i++)
		add_device(ARCH_FUNC_PIC, a->ioapic[i].address, a->ioapic[i].gsi_base);
	add_device(ARCH_FUNC_TIMER, a->hpet, 0);
	for (u32 i = 0; i < a->nmcfgs; i++)
		add_device(ARCH_FUNC_BRIDGE, a->mcfg[i].base, a->mcfg[i].segment);
	for (u32 i = 0; i < st->arch.ndevices && b->ext_dev_nr < BOOT_DEVICES; i++) {
		b->ext_dev[b->ext_dev_nr] = st->arch.device[i];
		b->ext_dev[b->ext_dev_nr++].cxy = cluster_of(st, st->arch.device[i].cxy);
	}
}

static u16
paddr_bits(void)
{
	u32 r[4];

	cpuid(0x80000000, 0, r);
	if (r[0] < 0x80000008)
		return 36;
	cpuid(0x80000008, 0, r);
	return r[0] & 0xff;
}

static void
fill_general(struct boot_state *st)
{
	const struct acpi *a = &st->tables;
	struct boot_info *b = &boot_info;

	b->clusters = st->nclusters;
	b->boot_cxy = BOOT_CLUSTER;
	b->io_cxy =
		st->cmdline.io < st->nclusters ? (u16)st->cmdline.io : cluster_of(st, st->arch.io);
	b->init_cxy = b->io_cxy;
	b->paddr_bits = paddr_bits();
	b->tsc_khz = (u32)clock_tsc_khz();
	b->x2apic = st->machine->ioapics->x2apic;
	b->lapic_paddr = a->lapic ? a->lapic : 0xfee00000;
	b->hpet_paddr = a->hpet;
	if (a->nmcfgs) {
		b->ecam_paddr = a->mcfg[0].base;
		b->ecam_bus_first = a->mcfg[0].bus_first;
		b->ecam_bus_last = a->mcfg[0].bus_last;
	}
	b->rsdp = a->rsdp;
	b->module_paddr = st->module_paddr;
	b->module_size = st->module_size;
	b->tsc_at_entry = st->low->tsc_at_entry;
	b->machine = (u64)st->machine;
	memcpy(b->cmdline, st->cmdline_text, sizeof(b->cmdline));
	fill_clusters(st);
	fill_external(st);
}

static void
fill_local(struct boot_plan *p)
{
	struct boot_info *b = &boot_info;

	b->cxy = p->cxy;
	memcpy(b->distance_row, b->distance[p->cxy], sizeof(b->distance_row));
	b->int_dev_nr = 1;
	b->int_dev[0] = (struct arch_device){
		.base = b->lapic_paddr,
		.size = PAGE_SIZE,
		.type = ARCH_FUNC_ICU << 16,
		.cxy = p->cxy,
		.channels = b->cores_nr,
		.bdf = ARCH_NO_BDF,
	};
	b->kcode_paddr = p->anchor;
	b->krodata_paddr = p->anchor + HUGE_SIZE;
	b->kdata_paddr = p->kdata;
	b->pml4_paddr = p->pml4;
	b->entry = (u64)kernel_init;
}

/* Bytes of the cluster's memory that are in rs. */
static u64
bytes_in(const struct boot_plan *p, const struct boot_ranges *rs)
{
	u64 sum = 0;

	for (u32 i = 0; i < p->nranges; i++)
		sum += p->range[i].size -
		       ranges_free_bytes(rs, p->range[i].base, p->range[i].base + p->range[i].size);
	return sum;
}

/* Where memory stays that is never given to the page allocator. */
static void
fill_account(struct boot_state *st, struct boot_plan *p)
{
	struct boot_report *r = st->report;
	struct boot_ranges module = {0};
	u64 base = ALIGN_DOWN(st->module_paddr, PAGE_SIZE);

	ranges_add(&module, base, ALIGN_UP(st->module_paddr + st->module_size, PAGE_SIZE) - base);
	r->module[p->cxy] = bytes_in(p, &module);
	r->bad_in[p->cxy] = bytes_in(p, &st->bad);
	r->stacks[p->cxy] = p->stacks_size;
	r->anchor = p->anchor_size;
}

/* A cluster with more reserved pieces than there is room for loses what is behind the last. */
static void
fill_memory(struct boot_state *st, struct boot_plan *p)
{
	struct boot_info *b = &boot_info;

	b->range_nr = p->nranges;
	memcpy(b->range, p->range, sizeof(b->range));
	b->rsvd_nr = b->pages_nr = 0;
	b->pages_offset =
		(u32)((p->anchor + p->anchor_size - b->cluster[p->cxy].lpa_base) >> PAGE_SHIFT);
	for (u32 i = 0; i < p->nranges; i++) {
		for (u32 k = 0; k < st->taken.n; k++) {
			u64 base = max(p->range[i].base, st->taken.r[k].base);
			u64 end = min(p->range[i].base + p->range[i].size,
				      st->taken.r[k].base + st->taken.r[k].size);

			if (base >= end)
				continue;
			if (b->rsvd_nr == BOOT_RSVD - 1) { /* one is for bootmem_close */
				b->range[i].size = base - b->range[i].base;
				break;
			}
			b->rsvd[b->rsvd_nr++] = (struct boot_range){base, end - base};
		}
		b->pages_nr += (u32)(b->range[i].size >> PAGE_SHIFT);
	}
}

u32
instance_general_crc(const struct boot_info *b)
{
	const u32 general = offsetof(struct boot_info, clusters);

	return checksum32((const u8 *)b + general, offsetof(struct boot_info, cxy) - general);
}

static u32
local_crc(const struct boot_info *b)
{
	const u32 local = offsetof(struct boot_info, cxy);

	return checksum32((const u8 *)b + local, sizeof(*b) - local);
}

bool
instance_is_whole(const struct boot_info *b)
{
	return b->magic == BOOT_INFO_MAGIC && b->size == sizeof(*b) &&
	       b->crc_general == instance_general_crc(b) && b->crc_local == local_crc(b);
}

void
instance_finish(struct boot_state *st, struct boot_plan *p)
{
	struct boot_info *b = &boot_info;

	local_cluster.cxy = p->cxy;
	local_cluster.master_root = p->pml4;
	local_cluster.bootmem = p->mem;
	st->machine->cluster[p->cxy] = cluster_struct(p);
	number_cores(st, p);
	fill_general(st);
	fill_local(p);
	fill_memory(st, p);
	fill_account(st, p);
	b->kcode_size = st->low->kcode_size;
	b->kdata_size = st->low->kdata_size;
	b->kcode_crc = checksum32((const void *)KCODE_BASE, st->low->kcode_size);
	b->crc_general = instance_general_crc(b);
	b->crc_local = local_crc(b);
}
