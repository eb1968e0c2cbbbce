/*
 * Which cores and which memory make a cluster, from st->arch and st->usable.
 *
 * By domains (SRAT or arch_info.bin): one cluster per domain that has a core and room for a kernel
 * instance. Cores of a domain without room join the nearest cluster, memory of a domain without
 * cores is attached to the one that the HMAT names, or to the nearest; memory that no domain covers
 * belongs to the boot cluster. With `clusters=N`, or without domains, cores are cut by APIC id into
 * contiguous groups (threads of one core stay together) and the memory into pieces with equal free
 * room. The boot cluster is number 0 and the boot core its lid 0.
 *
 * What a cluster got is taken out of `left`, so that nothing has two owners, whatever the tables
 * say.
 */
#include "boot/boot.h"
#include "core/panic.h"
#include "lib/string.h"

#define CLUSTER_MIN_FREE (8UL << 20) /* less than this behind the kernel's copies is no cluster */
#define MIB		 (1UL << 20)
#define NO_CORE		 0xffffffffu

/* --- cores --- */

static void
sort_cores(struct archinfo *ai)
{
	for (u32 i = 1; i < ai->ncores; i++) {
		struct archinfo_core c = ai->core[i];
		u32 j = i;

		for (; j > 0 && ai->core[j - 1].gid > c.gid; j--)
			ai->core[j] = ai->core[j - 1];
		ai->core[j] = c;
	}
}

static void
add_core(struct boot_state *st, struct boot_plan *p, u32 gid)
{
	u32 limit = min(st->cmdline.cores ? st->cmdline.cores : MAX_CORES, (u32)MAX_CORES);

	if (p->ncores < limit)
		p->gid[p->ncores++] = gid;
	else if (!st->cmdline.cores)
		st->arch.cores_lost++;
}

/* The boot core is lid 0, whatever its id. */
static void
put_first(struct boot_plan *p, u32 gid)
{
	for (u32 i = 0; i < p->ncores; i++) {
		if (p->gid[i] != gid)
			continue;
		for (; i > 0; i--)
			p->gid[i] = p->gid[i - 1];
		p->gid[0] = gid;
	}
}

/* No more than MAX_CORES in all: the clusters give up their last cores in turn. */
static void
limit_cores(struct boot_state *st)
{
	u32 total = 0, lost = st->arch.cores_lost;

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
		boot_say(st, KLOG_WARN, "%u cores left out: more than %u", lost, MAX_CORES);
}

/* --- memory --- */

static void
add_range(struct boot_state *st, struct boot_plan *p, u64 base, u64 size)
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
		boot_say(st, KLOG_WARN, "memory at %llx, %llu KiB, left out: more than %u pieces",
			 (unsigned long long)base, (unsigned long long)(size >> 10), BOOT_RANGES);
}

/* What `left` has of [base, end) goes to p. */
static void
claim(struct boot_state *st, struct boot_plan *p, struct boot_ranges *left, u64 base, u64 end)
{
	struct boot_range hit;

	while (base < end && ranges_overlap(left, base, end, &hit)) {
		u64 from = max(base, hit.base), to = min(end, hit.base + hit.size);

		add_range(st, p, from, to - from);
		ranges_remove(left, from, to - from);
		base = to;
	}
}

static void
claim_domain(struct boot_state *st, struct boot_plan *p, struct boot_ranges *left, u16 domain,
	     u16 kind)
{
	const struct archinfo *ai = &st->arch;

	for (u32 i = 0; i < ai->nranges; i++) {
		const struct archinfo_range *r = &ai->range[i];

		if (r->domain == domain && r->kind == kind)
			claim(st, p, left, ALIGN_UP(r->base, PAGE_SIZE),
			      ALIGN_DOWN(r->base + r->size, PAGE_SIZE));
	}
}

u64
plan_anchor_size(const struct boot_low *low)
{
	return HUGE_SIZE + ALIGN_UP(low->krodata_size, PAGE_SIZE) +
	       ALIGN_UP(low->kdata_size, PAGE_SIZE);
}

/* Below `reach`. */
static bool
find_anchor(struct boot_state *st, const struct boot_plan *p, u64 reach, u64 *anchor)
{
	u64 size = plan_anchor_size(st->low);

	for (u32 i = 0; i < p->nranges; i++) {
		u64 at = p->range[i].base, end = min(at + p->range[i].size, reach), to;

		while (at < end && ranges_free(&st->taken, &at, end, &to)) {
			*anchor = ALIGN_UP(at, HUGE_SIZE);
			if (*anchor < to && size <= to - *anchor)
				return true;
			at = to;
		}
	}
	return false;
}

/* The boot tables reach 4 GiB, and tables that all share come from the boot cluster. */
static u64
reach_of(const struct boot_plan *p)
{
	return p->cxy == BOOT_CLUSTER ? BOOT_REACH : ~0UL;
}

bool
plan_find_anchor(struct boot_state *st, const struct boot_plan *p, u64 *anchor)
{
	return find_anchor(st, p, reach_of(p), anchor);
}

static u64
free_bytes(struct boot_state *st, const struct boot_plan *p, u64 reach)
{
	u64 sum = 0;

	for (u32 i = 0; i < p->nranges; i++)
		sum += ranges_free_bytes(&st->taken, p->range[i].base,
					 min(p->range[i].base + p->range[i].size, reach));
	return sum;
}

static bool
has_room(struct boot_state *st, const struct boot_plan *p, u64 reach)
{
	u64 anchor;

	return free_bytes(st, p, reach) >= plan_anchor_size(st->low) + CLUSTER_MIN_FREE &&
	       find_anchor(st, p, reach, &anchor);
}

/* mem=: the lowest so many MiB of the cluster. What the boot loader put elsewhere stays known. */
static void
limit_memory(struct boot_state *st, struct boot_plan *p)
{
	u64 left = (u64)st->cmdline.mem * MIB, cut = 0;
	u32 n = p->nranges;

	for (u32 i = 0; i < n; i++) {
		struct boot_range *r = &p->range[i], hit;
		u64 at = r->base + min(left, r->size), end = r->base + r->size;

		left -= at - r->base;
		r->size = at - r->base;
		cut += end - at;
		for (; at < end && ranges_overlap(&st->taken, at, end, &hit);
		     at = hit.base + hit.size)
			add_range(st, p, max(at, hit.base),
				  min(end, hit.base + hit.size) - max(at, hit.base));
	}
	n = p->nranges;
	p->nranges = 0;
	for (u32 i = 0; i < n; i++)
		if (p->range[i].size)
			p->range[p->nranges++] = p->range[i];
	if (cut)
		boot_say(st, KLOG_BOOT, "cluster %u: %llu MiB not used: mem=%u", p->cxy,
			 (unsigned long long)(cut / MIB), st->cmdline.mem);
}

/* --- forced split --- */

/* RAM in address order, cut at 2 MiB boundaries where each piece has its share of what is free. */
static void
cut_memory(struct boot_state *st, u32 n)
{
	const struct boot_ranges *ram = &st->usable;
	u64 total = 0, share, have = 0;
	u32 c = 0;

	for (u32 i = 0; i < ram->n; i++)
		total += ranges_free_bytes(&st->taken, ram->r[i].base,
					   ram->r[i].base + ram->r[i].size);
	share = total / n;
	for (u32 i = 0; i < ram->n; i++) {
		u64 at = ram->r[i].base, end = at + ram->r[i].size, from = at;

		while (at < end) {
			u64 next = min(ALIGN_DOWN(at, HUGE_SIZE) + HUGE_SIZE, end);

			have += ranges_free_bytes(&st->taken, at, next);
			at = next;
			if (have >= share * (c + 1) && c + 1 < n && IS_ALIGNED(at, HUGE_SIZE)) {
				add_range(st, &st->plan[c++], from, at - from);
				from = at;
			}
		}
		add_range(st, &st->plan[c], from, end - from);
	}
}

/* The boot core's group comes first, the others keep their order. */
static void
cut_cores(struct boot_state *st, u32 n)
{
	struct archinfo *ai = &st->arch;
	u32 group[ARCH_CORES] = {0}, c = 0, boot = 0;

	for (u32 i = 0; i < ai->ncores; i++) {
		u32 gid = ai->core[i].gid;
		bool whole = i == 0 || gid >> st->smt_shift != ai->core[i - 1].gid >> st->smt_shift;

		/* The next group begins with a whole core, and leaves one for each group after. */
		if (i > 0 && c + 1 < n && i >= (u64)ai->ncores * (c + 1) / n &&
		    (whole || ai->ncores - i <= n - c - 1))
			c++;
		group[i] = c;
		if (gid == st->boot_gid)
			boot = c;
	}
	for (u32 i = 0; i < ai->ncores; i++)
		if (ai->core[i].gid == st->boot_gid)
			add_core(st, &st->plan[0], st->boot_gid); /* whatever cores= says */
	for (u32 i = 0; i < ai->ncores; i++) {
		u32 to = group[i] == boot ? 0 : group[i] + (group[i] < boot);

		if (ai->core[i].gid != st->boot_gid)
			add_core(st, &st->plan[to], ai->core[i].gid);
	}
}

/* Whether the machine divides into n clusters that all have cores and room. */
static bool
try_split(struct boot_state *st, u32 n)
{
	memset(st->plan, 0, sizeof(st->plan));
	st->nclusters = n;
	for (u32 c = 0; c < n; c++)
		st->plan[c] = (struct boot_plan){.cxy = (u16)c, .pxm = c, .domain = ARCH_NO_DOMAIN};
	cut_cores(st, n);
	cut_memory(st, n);
	for (u32 c = 0; c < n; c++)
		if (!st->plan[c].ncores || !has_room(st, &st->plan[c], reach_of(&st->plan[c])))
			return false;
	for (u32 i = 0; i < n; i++)
		for (u32 j = 0; j < n; j++)
			st->distance[i][j] = i == j ? 10 : 20;
	return true;
}

static void
split(struct boot_state *st)
{
	u32 want = max(st->cmdline.clusters, 1u);
	u32 n = min(min(want, (u32)MAX_CLUSTERS), st->arch.ncores);

	while (n > 1 && !try_split(st, n))
		n--;
	if (n < want)
		boot_say(st, KLOG_WARN, "clusters=%u asked for, %u possible with %u cores", want, n,
			 st->arch.ncores);
	if (n == 1 && !try_split(st, 1))
		panic("too little memory: the kernel needs %llu MiB beside the image",
		      (unsigned long long)((plan_anchor_size(st->low) + CLUSTER_MIN_FREE) / MIB));
}

/* --- by domains --- */

static bool
is_accepted(const struct boot_state *st, u16 domain)
{
	for (u32 c = 0; c < st->nclusters; c++)
		if (st->plan[c].domain == domain)
			return true;
	return false;
}

static struct boot_plan *
nearest(struct boot_state *st, u16 domain)
{
	struct boot_plan *best = &st->plan[0];

	for (u32 c = 0; c < st->nclusters; c++) {
		struct boot_plan *p = &st->plan[c];

		if (p->domain == domain)
			return p;
		if (st->arch.distance[domain][p->domain] < st->arch.distance[domain][best->domain])
			best = p;
	}
	return best;
}

/* Without the core `but`. */
static u32
count_cores(const struct archinfo *ai, u16 domain, u32 but)
{
	u32 n = 0;

	for (u32 i = 0; i < ai->ncores; i++)
		n += ai->core[i].has_domain && ai->core[i].domain == domain &&
		     ai->core[i].gid != but;
	return n;
}

/* Whether the domain makes the boot cluster, with the boot core in it, or else one without it. */
static bool
is_cluster(struct boot_state *st, u16 domain, bool home)
{
	u32 but = home ? NO_CORE : st->boot_gid;
	u64 reach = home ? BOOT_REACH : ~0UL;
	struct boot_plan *p = &st->plan[MAX_CLUSTERS - 1]; /* not in use yet */
	struct boot_ranges left = st->usable;
	bool room;

	if (!count_cores(&st->arch, domain, but))
		return false;
	*p = (struct boot_plan){.domain = domain};
	claim_domain(st, p, &left, domain, ARCH_RAM);
	room = has_room(st, p, reach);
	*p = (struct boot_plan){0};
	return room;
}

/* The boot core's domain, or the nearest one that can be the boot cluster; -1: none. */
static int
choose_home(struct boot_state *st)
{
	const struct archinfo *ai = &st->arch;
	u16 own = 0;
	int best = -1;

	for (u32 i = 0; i < ai->ncores; i++)
		if (ai->core[i].gid == st->boot_gid && ai->core[i].has_domain)
			own = ai->core[i].domain;
	for (u32 d = 0; d < ai->ndomains; d++) {
		if (!is_cluster(st, (u16)d, true))
			continue;
		if (best < 0 || d == own ||
		    (best != own && ai->distance[own][d] < ai->distance[own][best]))
			best = (int)d;
	}
	return best;
}

static void
accept_domains(struct boot_state *st, u32 home)
{
	bool good[ARCH_DOMAINS] = {false};

	for (u32 d = 0; d < st->arch.ndomains; d++)
		good[d] = d == home || is_cluster(st, (u16)d, false);
	for (u32 k = 0; k <= st->arch.ndomains; k++) {
		u32 d = k == 0 ? home : k - 1, c = st->nclusters;

		if (!good[d] || (k > 0 && d == home) || c == MAX_CLUSTERS)
			continue;
		st->plan[c] =
			(struct boot_plan){.cxy = (u16)c, .domain = (u16)d, .pxm = st->arch.pxm[d]};
		st->nclusters++;
	}
}

/* Domains that are no cluster give what they have to those that are. */
static void
say_joined(struct boot_state *st, u16 d, const struct boot_plan *p, u64 bytes)
{
	u32 cores = count_cores(&st->arch, d, NO_CORE);

	if (cores || bytes)
		boot_say(st, KLOG_BOOT, "domain %u, %u cores and %llu MiB, joins cluster %u",
			 st->arch.pxm[d], cores, (unsigned long long)(bytes / MIB), p->cxy);
}

static void
share_memory(struct boot_state *st)
{
	const struct archinfo *ai = &st->arch;
	struct boot_ranges left = st->usable;

	for (u32 c = 0; c < st->nclusters; c++)
		claim_domain(st, &st->plan[c], &left, st->plan[c].domain, ARCH_RAM);
	for (u32 c = 0; c < st->nclusters; c++)
		claim_domain(st, &st->plan[c], &left, st->plan[c].domain, ARCH_FAR_RAM);
	for (u16 d = 0; d < ai->ndomains; d++) {
		u64 before = ranges_bytes(&left);
		struct boot_plan *p;

		if (is_accepted(st, d))
			continue;
		p = nearest(st, is_accepted(st, ai->near[d]) ? ai->near[d] : d);
		claim_domain(st, p, &left, d, ARCH_RAM);
		claim_domain(st, p, &left, d, ARCH_FAR_RAM);
		p->joined = p->joined || ranges_bytes(&left) != before;
		say_joined(st, d, p, before - ranges_bytes(&left));
	}
	while (left.n)
		claim(st, &st->plan[BOOT_CLUSTER], &left, left.r[0].base,
		      left.r[0].base + left.r[0].size);
}

static void
share_cores(struct boot_state *st)
{
	const struct archinfo *ai = &st->arch;

	add_core(st, &st->plan[BOOT_CLUSTER], st->boot_gid);
	for (u32 i = 0; i < ai->ncores; i++) {
		const struct archinfo_core *c = &ai->core[i];
		struct boot_plan *p = c->has_domain ? nearest(st, c->domain) : &st->plan[0];

		if (c->gid != st->boot_gid)
			add_core(st, p, c->gid);
	}
}

static bool
group_by_domain(struct boot_state *st)
{
	int home = choose_home(st);

	memset(st->plan, 0, sizeof(st->plan));
	st->nclusters = 0;
	if (home < 0)
		return false;
	accept_domains(st, (u32)home);
	share_memory(st);
	share_cores(st);
	for (u32 i = 0; i < st->nclusters; i++)
		for (u32 j = 0; j < st->nclusters; j++)
			st->distance[i][j] =
				st->arch.distance[st->plan[i].domain][st->plan[j].domain];
	return true;
}

/* --- both --- */

/* What the boot loader used and the plan does not have is known to the boot cluster: the root
 * image is used where it is. */
static void
keep_taken(struct boot_state *st)
{
	struct boot_ranges left = st->ram;

	for (u32 i = 0; i < st->usable.n; i++)
		ranges_remove(&left, st->usable.r[i].base, st->usable.r[i].size);
	for (u32 i = 0; i < st->taken.n; i++)
		claim(st, &st->plan[BOOT_CLUSTER], &left, st->taken.r[i].base,
		      st->taken.r[i].base + st->taken.r[i].size);
}

void
plan_clusters(struct boot_state *st)
{
	sort_cores(&st->arch);
	memset(st->plan, 0, sizeof(st->plan));
	if (st->cmdline.clusters || !st->arch.ndomains || !group_by_domain(st))
		split(st);
	put_first(&st->plan[BOOT_CLUSTER], st->boot_gid);
	keep_taken(st);
	limit_cores(st);
	for (u32 c = 0; c < st->nclusters; c++) {
		struct boot_plan *p = &st->plan[c];

		p->st = st;
		p->origin = p->cxy;
		if (st->cmdline.mem)
			limit_memory(st, p);
	}
}

void
plan_drop(struct boot_state *st, u32 c)
{
	struct boot_plan *p = &st->plan[c], *to = &st->plan[BOOT_CLUSTER];

	for (u32 i = 0; i < st->nclusters; i++) {
		struct boot_plan *q = &st->plan[i];

		if (i != c &&
		    st->distance[p->origin][q->origin] < st->distance[p->origin][to->origin])
			to = q;
	}
	boot_say(st, KLOG_WARN, "cluster %u is given up: its memory goes to cluster %u", p->origin,
		 to->origin);
	to->joined = true;
	for (u32 i = 0; i < p->nranges; i++)
		add_range(st, to, p->range[i].base, p->range[i].size);
	for (u32 i = 0; i < p->ncores; i++)
		add_core(st, to, p->gid[i]);
	if (p->anchor)
		ranges_remove(&st->taken, p->anchor, p->anchor_size);
	memmove(p, p + 1, (--st->nclusters - c) * sizeof(*p));
	for (u32 i = c; i < st->nclusters; i++)
		st->plan[i].cxy = (u16)i;
}
