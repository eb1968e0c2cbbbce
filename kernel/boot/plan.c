/*
 * Which cores and which memory make a cluster.
 *
 * By the SRAT: one cluster per proximity domain that has a core and room for a kernel instance.
 * Cores of a domain without room join the nearest cluster, memory of a domain without cores is
 * attached to the nearest, memory that no domain covers belongs to the boot cluster. With
 * `clusters=N`, or without an SRAT, cores are cut by APIC id into contiguous groups (threads of one
 * core stay together) and the memory into pieces with equal free room.
 * The boot cluster is number 0 and the boot core its lid 0.
 */
#include "arch/apic.h"
#include "arch/cpu.h"
#include "boot/boot.h"
#include "core/klog.h"
#include "core/panic.h"
#include "lib/string.h"

#define CLUSTER_MIN_FREE (8UL << 20) /* less than this behind the kernel's copies is no cluster */

static void
sort_cores(struct acpi *a)
{
	for (u32 i = 1; i < a->ncores; i++) {
		struct acpi_core c = a->core[i];
		u32 j = i;

		for (; j > 0 && a->core[j - 1].apic_id > c.apic_id; j--)
			a->core[j] = a->core[j - 1];
		a->core[j] = c;
	}
}

static bool
add_core(struct boot_state *st, struct boot_plan *p, u32 gid)
{
	u32 limit = st->cmdline.cores ? st->cmdline.cores : MAX_CORES;

	if (p->ncores >= min(limit, (u32)MAX_CORES))
		return false;
	p->gid[p->ncores++] = gid;
	return true;
}

static void
add_range(struct boot_plan *p, u64 base, u64 size)
{
	if (size == 0)
		return;
	for (u32 i = 0; i < p->nranges; i++) {
		if (p->range[i].base + p->range[i].size == base) {
			p->range[i].size += size;
			return;
		}
	}
	if (p->nranges < BOOT_RANGES)
		p->range[p->nranges++] = (struct boot_range){base, size};
	else
		klog(KLOG_WARN, "boot", "cluster %u: range %llx left out: more than %u", p->cxy,
		     (unsigned long long)base, BOOT_RANGES);
}

/* Moves the boot core to the front and its cluster to number 0. */
static void
boot_core_first(struct boot_state *st, u32 gid)
{
	for (u32 c = 0; c < st->nclusters; c++) {
		struct boot_plan *p = &st->plan[c];

		for (u32 i = 0; i < p->ncores; i++) {
			if (p->gid[i] != gid)
				continue;
			for (; i > 0; i--)
				p->gid[i] = p->gid[i - 1];
			p->gid[0] = gid;
			if (c != 0) {
				struct boot_plan other = st->plan[0];

				st->plan[0] = *p;
				*p = other;
			}
			return;
		}
	}
	panic("the boot core %u is in no cluster", gid);
}

/* The first 2 MiB-aligned room for the kernel's copies in the cluster's free memory. */
static bool
find_anchor(struct boot_state *st, const struct boot_plan *p, u64 size, u64 *anchor)
{
	for (u32 i = 0; i < p->nranges; i++) {
		u64 at = p->range[i].base, end = at + p->range[i].size, to;

		/* The boot tables reach 4 GiB; shared tables come from the boot cluster. */
		if (p->cxy == BOOT_CLUSTER)
			end = min(end, 1UL << 32);
		while (at < end && ranges_free(&st->taken, &at, end, &to)) {
			*anchor = ALIGN_UP(at, HUGE_SIZE);
			if (*anchor + size <= to)
				return true;
			at = to;
		}
	}
	return false;
}

static u64
anchor_size(const struct boot_low *low)
{
	return HUGE_SIZE + ALIGN_UP(low->krodata_size, PAGE_SIZE) +
	       ALIGN_UP(low->kdata_size, PAGE_SIZE);
}

static u64
free_bytes(struct boot_state *st, const struct boot_plan *p)
{
	u64 sum = 0;

	for (u32 i = 0; i < p->nranges; i++)
		sum += ranges_free_bytes(&st->taken, p->range[i].base,
					 p->range[i].base + p->range[i].size);
	return sum;
}

static bool
has_room(struct boot_state *st, const struct boot_plan *p)
{
	u64 anchor, size = anchor_size(st->low);

	return free_bytes(st, p) >= size + CLUSTER_MIN_FREE && find_anchor(st, p, size, &anchor);
}

/* --- forced split --- */

/* RAM in address order, cut at 2 MiB boundaries where each piece has its share of what is free. */
static void
cut_memory(struct boot_state *st, u32 n)
{
	u64 total = 0, share, have = 0;
	u32 c = 0;

	for (u32 i = 0; i < st->ram.n; i++)
		total += ranges_free_bytes(&st->taken, st->ram.r[i].base,
					   st->ram.r[i].base + st->ram.r[i].size);
	share = total / n;
	for (u32 i = 0; i < st->ram.n; i++) {
		u64 at = st->ram.r[i].base, end = at + st->ram.r[i].size, from = at;

		while (at < end) {
			u64 next = min(ALIGN_DOWN(at, HUGE_SIZE) + HUGE_SIZE, end);

			have += ranges_free_bytes(&st->taken, at, next);
			at = next;
			if (have >= share * (c + 1) && c + 1 < n && IS_ALIGNED(at, HUGE_SIZE)) {
				add_range(&st->plan[c++], from, at - from);
				from = at;
			}
		}
		add_range(&st->plan[c], from, end - from);
	}
}

static void
cut_cores(struct boot_state *st, u32 n)
{
	struct acpi *a = &st->tables;
	u32 leaf[4] = {0}, shift = 0, c = 0;

	cpuid(0, 0, leaf);
	if (leaf[0] >= 0xb) {
		cpuid(0xb, 0, leaf);
		if (leaf[1])
			shift = leaf[0] & 31;
	}
	for (u32 i = 0; i < a->ncores; i++) {
		u32 gid = a->core[i].apic_id;
		bool new_core = i == 0 || gid >> shift != a->core[i - 1].apic_id >> shift;

		/* The next group begins with a whole core, and leaves one for each group after. */
		if (i > 0 && c + 1 < n && i >= (u64)a->ncores * (c + 1) / n &&
		    (new_core || a->ncores - i <= n - c - 1))
			c++;
		add_core(st, &st->plan[c], gid);
	}
}

/* Whether the machine divides into n clusters that all have cores and room. */
static bool
try_split(struct boot_state *st, u32 n, u32 boot_gid)
{
	memset(st->plan, 0, sizeof(st->plan));
	st->nclusters = n;
	for (u32 c = 0; c < n; c++)
		st->plan[c].pxm = c;
	cut_cores(st, n);
	for (u32 c = 0; c < n; c++)
		if (!st->plan[c].ncores)
			return false;
	boot_core_first(st, boot_gid);
	cut_memory(st, n);
	for (u32 c = 0; c < n; c++) {
		st->plan[c].cxy = c;
		if (!has_room(st, &st->plan[c]))
			return false;
	}
	for (u32 i = 0; i < n; i++)
		for (u32 j = 0; j < n; j++)
			st->distance[i][j] = i == j ? 10 : 20;
	return true;
}

static void
split(struct boot_state *st, u32 boot_gid)
{
	u32 want = max(st->cmdline.clusters, 1u);
	u32 n = min(want, (u32)MAX_CLUSTERS);

	n = min(n, st->tables.ncores);
	while (n > 1 && !try_split(st, n, boot_gid))
		n--;
	if (n < want)
		klog(KLOG_WARN, "boot", "clusters=%u asked for, %u possible with %u cores", want, n,
		     st->tables.ncores);
	if (n == 1 && !try_split(st, 1, boot_gid))
		panic("too little memory: the kernel needs %llu MiB beside the image",
		      (unsigned long long)((anchor_size(st->low) + CLUSTER_MIN_FREE) >> 20));
}

/* --- by proximity domains --- */

static u32
pxm_distance(const struct acpi *a, u32 x, u32 y)
{
	if (a->has_slit && x < a->slit_n && y < a->slit_n)
		return a->slit[x][y];
	return x == y ? 10 : 20;
}

static struct boot_plan *
plan_of_pxm(struct boot_state *st, u32 pxm)
{
	for (u32 c = 0; c < st->nclusters; c++)
		if (st->plan[c].pxm == pxm)
			return &st->plan[c];
	return NULL;
}

static struct boot_plan *
nearest(struct boot_state *st, u32 pxm)
{
	struct boot_plan *best = &st->plan[0];

	for (u32 c = 1; c < st->nclusters; c++)
		if (pxm_distance(&st->tables, pxm, st->plan[c].pxm) <
		    pxm_distance(&st->tables, pxm, best->pxm))
			best = &st->plan[c];
	return best;
}

/* RAM inside the SRAT ranges of a domain goes to `p`. */
static void
add_pxm_memory(struct boot_state *st, struct boot_plan *p, u32 pxm)
{
	const struct acpi *a = &st->tables;

	for (u32 m = 0; m < a->nmemories; m++) {
		if (a->memory[m].pxm != pxm)
			continue;
		for (u32 i = 0; i < st->ram.n; i++) {
			const struct boot_range *r = &st->ram.r[i];
			u64 base = max(r->base, ALIGN_UP(a->memory[m].base, PAGE_SIZE));
			u64 end = min(r->base + r->size,
				      ALIGN_DOWN(a->memory[m].base + a->memory[m].size, PAGE_SIZE));

			if (base < end)
				add_range(p, base, end - base);
		}
	}
}

/* Domains with a core and room become clusters, the boot core's first. */
static void
accept_domains(struct boot_state *st, u32 boot_gid)
{
	struct acpi *a = &st->tables;
	u32 boot_pxm = 0;

	for (u32 i = 0; i < a->ncores; i++)
		if (a->core[i].apic_id == boot_gid)
			boot_pxm = a->core[i].pxm;
	for (u32 k = 0; k <= a->ncores && st->nclusters < MAX_CLUSTERS; k++) {
		u32 pxm = k == 0 ? boot_pxm : a->core[k - 1].pxm;
		struct boot_plan *p = &st->plan[st->nclusters];

		if (k > 0 && (!a->core[k - 1].has_pxm || plan_of_pxm(st, pxm)))
			continue;
		*p = (struct boot_plan){.pxm = pxm, .cxy = st->nclusters};
		add_pxm_memory(st, p, pxm);
		if (has_room(st, p))
			st->nclusters++;
		else if (k == 0 || pxm != a->core[k - 1 - (k > 1)].pxm)
			klog(KLOG_WARN, "boot", "domain %u has no room for a kernel", pxm);
	}
}

static void
attach_rest(struct boot_state *st)
{
	const struct acpi *a = &st->tables;
	struct boot_ranges covered = {0};

	for (u32 m = 0; m < a->nmemories; m++) {
		u32 pxm = a->memory[m].pxm;
		bool done = plan_of_pxm(st, pxm) != NULL;

		for (u32 k = 0; k < m; k++)
			done = done || a->memory[k].pxm == pxm;
		if (!done)
			add_pxm_memory(st, nearest(st, pxm), pxm);
	}
	for (u32 c = 0; c < st->nclusters; c++)
		for (u32 i = 0; i < st->plan[c].nranges; i++)
			ranges_add(&covered, st->plan[c].range[i].base, st->plan[c].range[i].size);
	for (u32 i = 0; i < st->ram.n; i++) {
		u64 at = st->ram.r[i].base, end = at + st->ram.r[i].size, to;

		while (ranges_free(&covered, &at, end, &to)) {
			add_range(&st->plan[BOOT_CLUSTER], at, to - at);
			at = to;
		}
	}
}

static bool
group_by_domain(struct boot_state *st, u32 boot_gid)
{
	struct acpi *a = &st->tables;

	memset(st->plan, 0, sizeof(st->plan));
	st->nclusters = 0;
	accept_domains(st, boot_gid);
	if (!st->nclusters)
		return false;
	attach_rest(st);
	add_core(st, nearest(st, st->plan[0].pxm), boot_gid);
	for (u32 i = 0; i < a->ncores; i++)
		if (a->core[i].apic_id != boot_gid)
			add_core(st, nearest(st, a->core[i].has_pxm ? a->core[i].pxm : 0),
				 a->core[i].apic_id);
	for (u32 i = 0; i < st->nclusters; i++)
		for (u32 j = 0; j < st->nclusters; j++)
			st->distance[i][j] = pxm_distance(a, st->plan[i].pxm, st->plan[j].pxm);
	boot_core_first(st, boot_gid);
	return st->plan[0].cxy == BOOT_CLUSTER;
}

/* --- both --- */

/* No more than MAX_CORES in all: the clusters give up their last cores in turn. */
static void
limit_cores(struct boot_state *st)
{
	u32 total = 0, lost = st->tables.cores_lost;

	for (u32 c = 0; c < st->nclusters; c++)
		total += st->plan[c].ncores;
	for (u32 c = 0; total > MAX_CORES; c = (c + 1) % st->nclusters) {
		if (st->plan[c].ncores <= 1)
			continue;
		st->plan[c].ncores--;
		total--;
		lost++;
	}
	if (lost)
		klog(KLOG_WARN, "boot", "%u cores left out: more than %u", lost, MAX_CORES);
}

void
plan_clusters(struct boot_state *st)
{
	struct acpi *a = &st->tables;
	u32 boot_gid = apic_id();
	bool found = false;

	for (u32 i = 0; i < a->ncores; i++)
		found = found || a->core[i].apic_id == boot_gid;
	if (!found) { /* no MADT: the boot core alone */
		a->ncores = 1;
		a->core[0] = (struct acpi_core){.apic_id = boot_gid};
	}
	sort_cores(a);
	if (st->cmdline.clusters || !a->has_srat || !a->nmemories || !group_by_domain(st, boot_gid))
		split(st, boot_gid);
	limit_cores(st);
}

/* The largest free piece of the cluster; for the boot cluster below 4 GiB, where the boot tables
 * reach before the physmap is there. */
static void
choose_bump_range(struct boot_state *st, struct boot_plan *p)
{
	u64 best = 0;

	for (u32 i = 0; i < p->nranges; i++) {
		u64 at = p->range[i].base, end = at + p->range[i].size, to;

		if (p->cxy == BOOT_CLUSTER)
			end = min(end, 1UL << 32);
		while (at < end && ranges_free(&st->taken, &at, end, &to)) {
			if (to - at > best) {
				best = to - at;
				p->mem = (struct bootmem){.start = at, .next = at, .end = to};
			}
			at = to;
		}
	}
	if (!best)
		panic("cluster %u has no free memory", p->cxy);
}

void
plan_memory(struct boot_state *st)
{
	u64 size = anchor_size(st->low);

	for (u32 c = 0; c < st->nclusters; c++) {
		struct boot_plan *p = &st->plan[c];

		p->st = st;
		p->anchor_size = size;
		if (!find_anchor(st, p, size, &p->anchor))
			panic("cluster %u has no room for its kernel", p->cxy);
		p->kdata = p->anchor + HUGE_SIZE + ALIGN_UP(st->low->krodata_size, PAGE_SIZE);
		ranges_add(&st->taken, p->anchor, size);
	}
	for (u32 c = 0; c < st->nclusters; c++)
		choose_bump_range(st, &st->plan[c]);
}
