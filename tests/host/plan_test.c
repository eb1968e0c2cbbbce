/* Do uneven machines become clusters in which nothing is lost and nothing has two owners? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "boot/boot.h"

#define MIB (1ul << 20)
#define GIB (1ul << 30)

void panic(const char *fmt, ...);

struct machine_under_test {
	struct boot_state st;
	struct boot_low low;
};

static jmp_buf panicked;
static char said[8192];

/* What the planner needs of the kernel. */
void
boot_say(struct boot_state *st, enum klog_level level, const char *fmt, ...)
{
	size_t n = strlen(said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said + n, sizeof(said) - n, fmt, ap);
	va_end(ap);
	strncat(said, "\n", sizeof(said) - strlen(said) - 1);
}

__noreturn void
panic(const char *fmt, ...)
{
	longjmp(panicked, 1);
}

/* A machine with the image at 1 MiB and no cores or memory yet. */
static struct machine_under_test *
new_machine(void)
{
	struct machine_under_test *m = calloc(1, sizeof(*m));

	m->low.krodata_size = 300 << 10;
	m->low.kdata_size = 200 << 10;
	m->st.low = &m->low;
	memset(m->st.arch.distance, 20, sizeof(m->st.arch.distance));
	ranges_add(&m->st.taken, MIB, 3 * MIB);
	said[0] = '\0';
	return m;
}

static u16
add_domain(struct machine_under_test *m)
{
	struct archinfo *ai = &m->st.arch;
	u16 d = (u16)ai->ndomains++;

	ai->pxm[d] = 100 + d;
	ai->near[d] = d;
	ai->distance[d][d] = 10;
	return d;
}

static void
add_cores(struct machine_under_test *m, u16 domain, u32 n)
{
	struct archinfo *ai = &m->st.arch;

	for (u32 i = 0; i < n; i++, ai->ncores++)
		ai->core[ai->ncores] = (struct archinfo_core){
			.gid = ai->ncores, .domain = domain, .has_domain = true};
}

static void
add_memory(struct machine_under_test *m, u16 domain, u64 base, u64 size)
{
	struct archinfo *ai = &m->st.arch;

	ai->range[ai->nranges++] =
		(struct archinfo_range){.base = base, .size = size, .domain = domain};
	ranges_add(&m->st.ram, max(base, PAGE_SIZE), base + size - max(base, PAGE_SIZE));
}

static void
check_cores(const struct boot_state *st, u32 limit)
{
	u32 total = 0;

	for (u32 c = 0; c < st->nclusters; c++) {
		const struct boot_plan *p = &st->plan[c];

		assert_int_equal(p->cxy, c);
		assert_true(p->ncores > 0 || st->cmdline.cores);
		for (u32 i = 0; i < p->ncores; i++)
			for (u32 d = 0; d <= c; d++)
				for (u32 k = 0; k < (d == c ? i : st->plan[d].ncores); k++)
					assert_int_not_equal(p->gid[i], st->plan[d].gid[k]);
		total += p->ncores;
	}
	assert_int_equal(st->plan[0].gid[0], st->boot_gid);
	assert_int_equal(total, limit);
}

/* Every byte of RAM is in one cluster. */
static void
check_memory(const struct boot_state *st)
{
	struct boot_ranges left = st->usable;

	for (u32 c = 0; c < st->nclusters; c++) {
		for (u32 i = 0; i < st->plan[c].nranges; i++) {
			const struct boot_range *r = &st->plan[c].range[i];

			assert_true(ranges_cover(&left, r->base, r->base + r->size));
			ranges_remove(&left, r->base, r->size);
		}
	}
	if (!strstr(said, "left out"))
		assert_int_equal(left.n, 0);
}

static void
check_anchors(struct boot_state *st)
{
	for (u32 c = 0; c < st->nclusters; c++) {
		u64 anchor;

		assert_true(plan_find_anchor(st, &st->plan[c], &anchor));
		assert_int_equal(anchor % HUGE_SIZE, 0);
		if (c == 0)
			assert_true(anchor + plan_anchor_size(st->low) <= BOOT_REACH);
	}
}

static void
plan(struct machine_under_test *m)
{
	m->st.usable = m->st.ram;
	plan_clusters(&m->st);
	check_cores(&m->st, min(m->st.arch.ncores, (u32)MAX_CORES));
	check_memory(&m->st);
	check_anchors(&m->st);
}

static u64
bytes_of(const struct boot_plan *p)
{
	u64 sum = 0;

	for (u32 i = 0; i < p->nranges; i++)
		sum += p->range[i].size;
	return sum;
}

/* --- machines --- */

static void
cores_without_memory(void **state)
{
	struct machine_under_test *m = new_machine();
	u16 a = add_domain(m), b = add_domain(m), c = add_domain(m);

	(void)state;
	add_cores(m, a, 2);
	add_cores(m, b, 2);
	add_cores(m, c, 2);
	add_memory(m, a, 0, 256 * MIB);
	add_memory(m, c, 256 * MIB, 256 * MIB);
	m->st.arch.distance[b][a] = 40; /* nearer to the third */
	plan(m);
	assert_int_equal(m->st.nclusters, 2);
	assert_int_equal(m->st.plan[1].ncores, 4);
	assert_int_equal(m->st.plan[1].pxm, 102);
	assert_non_null(strstr(said, "domain 101, 2 cores and 0 MiB, joins cluster 1"));
	free(m);
}

/* the boot core's own domain has no memory: it moves to the nearest that has */
static void
boot_core_without_memory(void **state)
{
	struct machine_under_test *m = new_machine();
	u16 a = add_domain(m), b = add_domain(m), c = add_domain(m);

	(void)state;
	add_cores(m, a, 2);
	add_cores(m, b, 2);
	add_cores(m, c, 2);
	add_memory(m, b, 0, 256 * MIB);
	add_memory(m, c, 256 * MIB, 256 * MIB);
	m->st.arch.distance[a][b] = 31;
	m->st.arch.distance[a][c] = 21;
	m->st.boot_gid = 1;
	plan(m);
	assert_int_equal(m->st.nclusters, 2);
	assert_int_equal(m->st.plan[0].pxm, 102);
	assert_int_equal(m->st.plan[0].ncores, 4);
	assert_int_equal(m->st.plan[0].gid[0], 1);
	free(m);
}

static void
memory_without_cores(void **state)
{
	struct machine_under_test *m = new_machine();
	u16 a = add_domain(m), b = add_domain(m), c = add_domain(m), d = add_domain(m);

	(void)state;
	add_cores(m, a, 1);
	add_cores(m, b, 1);
	add_memory(m, a, 0, 128 * MIB);
	add_memory(m, b, 128 * MIB, 128 * MIB);
	add_memory(m, c, 256 * MIB, 64 * MIB);
	add_memory(m, d, 320 * MIB, 32 * MIB);
	m->st.arch.distance[c][b] = 12; /* by distance */
	m->st.arch.near[d] = b;		/* by the HMAT, against the distance */
	m->st.arch.distance[d][a] = 11;
	plan(m);
	assert_int_equal(m->st.nclusters, 2);
	assert_int_equal(bytes_of(&m->st.plan[1]), (128 + 64 + 32) * MIB);
	assert_true(m->st.plan[1].joined);
	assert_false(m->st.plan[0].joined);
	free(m);
}

/* the boot core's bank is too small for a kernel, another is huge and beyond 4 GiB */
static void
huge_and_tiny(void **state)
{
	struct machine_under_test *m = new_machine();
	u16 a = add_domain(m), b = add_domain(m);

	(void)state;
	add_cores(m, a, 1);
	add_cores(m, b, 1);
	add_memory(m, a, 0, 8 * MIB);
	add_memory(m, b, 8 * MIB, 3 * GIB);
	add_memory(m, b, 4 * GIB, 900 * GIB);
	plan(m);
	assert_int_equal(m->st.nclusters, 1);
	assert_int_equal(m->st.plan[0].pxm, 101);
	assert_int_equal(m->st.plan[0].ncores, 2);
	free(m);
	m = new_machine(); /* nothing below 4 GiB for the boot cluster but in one domain */
	a = add_domain(m);
	b = add_domain(m);
	add_cores(m, a, 1);
	add_cores(m, b, 1);
	add_memory(m, b, 0, 64 * MIB);
	add_memory(m, a, 8 * GIB, GIB);
	plan(m);
	assert_int_equal(m->st.nclusters, 1); /* the first lost its only core to it */
	assert_int_equal(m->st.plan[0].pxm, 101);
	assert_int_equal(m->st.plan[0].gid[0], 0);
	assert_int_equal(bytes_of(&m->st.plan[0]), 64 * MIB - PAGE_SIZE + GIB);
	free(m);
}

static void
holes_and_overlaps(void **state)
{
	struct machine_under_test *m = new_machine();
	u16 a = add_domain(m), b = add_domain(m);

	(void)state;
	add_cores(m, a, 1);
	add_cores(m, b, 1);
	for (u32 i = 0; i < 8; i++)
		add_memory(m, i % 2 ? b : a, i * 64 * MIB, 48 * MIB + 123);
	m->st.arch.range[m->st.arch.nranges++] = /* on what is b's, or nobody's */
		(struct archinfo_range){.base = 0, .size = 200 * MIB, .domain = a};
	plan(m);
	assert_int_equal(m->st.nclusters, 2);
	free(m);
}

static void
more_domains_than_clusters(void **state)
{
	struct machine_under_test *m = new_machine();

	(void)state;
	for (u32 i = 0; i < MAX_CLUSTERS + 4; i++) {
		u16 d = add_domain(m);

		add_cores(m, d, 2);
		add_memory(m, d, i * 64 * MIB, 64 * MIB);
	}
	m->st.boot_gid = 2 * MAX_CLUSTERS + 3;
	plan(m);
	assert_int_equal(m->st.nclusters, MAX_CLUSTERS);
	assert_int_equal(m->st.plan[0].pxm, 100 + MAX_CLUSTERS + 1);
	free(m);
}

static void
forced_split(void **state)
{
	static const u32 want[] = {1, 2, 3, 4, 8, 9};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(want); i++) {
		struct machine_under_test *m = new_machine();

		for (u32 k = 0; k < 16; k++)
			m->st.arch.core[m->st.arch.ncores++].gid = 2 * k;
		ranges_add(&m->st.ram, PAGE_SIZE, 636 << 10);
		ranges_add(&m->st.ram, MIB, 511 * MIB);
		m->st.cmdline.clusters = want[i];
		m->st.boot_gid = 20;
		m->st.smt_shift = 2; /* 0 and 2, 4 and 6, ... are threads of one core */
		plan(m);
		assert_int_equal(m->st.nclusters, min(want[i], (u32)MAX_CLUSTERS));
		for (u32 c = 1; c < m->st.nclusters; c++)
			assert_int_equal(m->st.plan[c].gid[0] % 4, 0);
		free(m);
	}
}

static void
limits(void **state)
{
	struct machine_under_test *m = new_machine();
	u16 a = add_domain(m), b = add_domain(m);

	(void)state;
	add_cores(m, a, 3);
	add_cores(m, b, 3);
	add_memory(m, a, 0, 256 * MIB);
	add_memory(m, b, 256 * MIB, 256 * MIB);
	ranges_add(&m->st.taken, 200 * MIB, 2 * MIB); /* the root image */
	m->st.cmdline.mem = 64;
	m->st.cmdline.cores = 2;
	m->st.boot_gid = 5;
	m->st.usable = m->st.ram;
	plan_clusters(&m->st);
	check_cores(&m->st, 4);
	check_anchors(&m->st);
	assert_int_equal(m->st.plan[0].pxm, 101);
	assert_int_equal(bytes_of(&m->st.plan[0]), 64 * MIB);
	assert_int_equal(bytes_of(&m->st.plan[1]), 66 * MIB);
	free(m);
}

/* what a cluster that is given up had is somewhere else, by distance */
static void
dropped_cluster(void **state)
{
	struct machine_under_test *m = new_machine();

	(void)state;
	for (u32 i = 0; i < 4; i++) {
		u16 d = add_domain(m);

		add_cores(m, d, 1);
		add_memory(m, d, i * 64 * MIB, 64 * MIB);
	}
	m->st.arch.distance[1][3] = 11;
	plan(m);
	m->st.plan[1].ncores = 0; /* dead */
	m->st.plan[1].anchor = 64 * MIB;
	m->st.plan[1].anchor_size = 4 * MIB;
	ranges_add(&m->st.taken, 64 * MIB, 4 * MIB);
	plan_drop(&m->st, 1);
	assert_int_equal(m->st.nclusters, 3);
	assert_int_equal(m->st.plan[2].pxm, 103);
	assert_int_equal(m->st.plan[2].origin, 3);
	assert_int_equal(m->st.plan[2].cxy, 2);
	assert_int_equal(bytes_of(&m->st.plan[2]), 128 * MIB);
	assert_false(ranges_cover(&m->st.taken, 64 * MIB, 65 * MIB));
	check_memory(&m->st);
	check_cores(&m->st, 3);
	free(m);
}

static void
random_machines(void **state)
{
	volatile u32 planned = 0;

	(void)state;
	srand(4);
	for (volatile u32 i = 0; i < 20000; i++) {
		struct machine_under_test *m = new_machine();
		u32 n = (u32)rand() % (MAX_CLUSTERS + 3);
		u64 at = 0;

		for (u32 k = 0; k < n; k++) {
			add_cores(m, add_domain(m), (u32)rand() % 4);
			for (u32 x = 0; x < n; x++)
				m->st.arch.distance[k][x] = x == k ? 10 : 11 + rand() % 40;
		}
		for (u32 k = 0; k < 1 + (u32)rand() % 20; k++) {
			u64 size = ((u64)rand() % 40 + 1) << (12 + rand() % 12);

			at += rand() % 2 ? (u64)rand() % 40 << (12 + rand() % 15) : 0;
			add_memory(m, n ? (u16)(rand() % n) : 0, at, size);
			at += size;
		}
		if (!m->st.arch.ncores || !n)
			m->st.arch.core[m->st.arch.ncores++].gid = 99;
		m->st.arch.ndomains = n;
		m->st.boot_gid = m->st.arch.core[rand() % m->st.arch.ncores].gid;
		m->st.cmdline.clusters = rand() % 3 ? 0 : (u32)rand() % 10;
		if (setjmp(panicked) == 0) {
			plan(m);
			planned++;
			if (m->st.nclusters > 1) {
				plan_drop(&m->st, 1);
				check_memory(&m->st);
				check_cores(&m->st, min(m->st.arch.ncores, (u32)MAX_CORES));
			}
		}
		free(m);
	}
	assert_true(planned > 5000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cores_without_memory),
		cmocka_unit_test(boot_core_without_memory),
		cmocka_unit_test(memory_without_cores),
		cmocka_unit_test(huge_and_tiny),
		cmocka_unit_test(holes_and_overlaps),
		cmocka_unit_test(more_domains_than_clusters),
		cmocka_unit_test(forced_split),
		cmocka_unit_test(limits),
		cmocka_unit_test(dropped_cluster),
		cmocka_unit_test(random_machines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
