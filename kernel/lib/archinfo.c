/* The machine as ACPI tells it, and a file held against that: see archinfo.h. */
#include "lib/archinfo.h"
#include <asm/errno.h>
#include "lib/string.h"

#define LOCAL_DISTANCE	10
#define REMOTE_DISTANCE 20
#define FIRST_MIB	(1u << 20)

/* --- from ACPI --- */

static bool
find_domain(const struct archinfo *ai, u32 pxm, u16 *domain)
{
	for (u32 i = 0; i < ai->ndomains; i++) {
		if (ai->pxm[i] == pxm) {
			*domain = (u16)i;
			return true;
		}
	}
	return false;
}

/* Keeps the list sorted by number; one beyond the limit is as if the SRAT did not name it. */
static void
add_domain(struct archinfo *ai, u32 pxm)
{
	u32 i = ai->ndomains;
	u16 known;

	if (find_domain(ai, pxm, &known) || i == ARCH_DOMAINS)
		return;
	for (; i > 0 && ai->pxm[i - 1] > pxm; i--)
		ai->pxm[i] = ai->pxm[i - 1];
	ai->pxm[i] = pxm;
	ai->ndomains++;
}

/* By the SLIT; without one by the HMAT's latencies, as multiples of the local one. */
static u8
pxm_distance(const struct acpi *a, u32 x, u32 y)
{
	if (x == y)
		return LOCAL_DISTANCE;
	if (a->has_slit && x < a->slit_n && y < a->slit_n)
		return a->slit[x][y];
	if (!a->has_slit && x < ACPI_PXMS && y < ACPI_PXMS && a->latency[x][x] &&
	    a->latency[x][y]) {
		u32 d = (u32)a->latency[x][y] * LOCAL_DISTANCE / a->latency[x][x];

		return (u8)min(max(d, LOCAL_DISTANCE + 1u), 254u);
	}
	return REMOTE_DISTANCE;
}

static void
fill_distances(struct archinfo *ai, const struct acpi *a)
{
	for (u32 i = 0; i < ai->ndomains; i++)
		for (u32 j = 0; j < ai->ndomains; j++)
			ai->distance[i][j] = pxm_distance(a, ai->pxm[i], ai->pxm[j]);
}

static void
fill_near(struct archinfo *ai, const struct acpi *a)
{
	for (u32 i = 0; i < ai->ndomains; i++) {
		ai->near[i] = (u16)i;
		for (u32 k = 0; k < a->nattached; k++)
			if (a->attached[k].memory == ai->pxm[i])
				find_domain(ai, a->attached[k].initiator, &ai->near[i]);
	}
}

static void
add_range(struct archinfo *ai, const struct acpi_range *r)
{
	struct archinfo_range *to = &ai->range[ai->nranges];

	*to = (struct archinfo_range){.base = r->base, .size = r->size, .kind = ARCH_RAM};
	if (find_domain(ai, r->pxm, &to->domain))
		ai->nranges++;
}

void
archinfo_from_acpi(struct archinfo *out, const struct acpi *a)
{
	memset(out, 0, sizeof(*out));
	string_copy(out->name, "ACPI", sizeof(out->name));
	out->cores_lost = a->cores_lost;
	out->io = ARCH_NO_DOMAIN;
	/* An SRAT without memory says nothing that could make clusters. */
	for (u32 i = 0; a->has_srat && a->nmemories && i < a->ncores; i++)
		if (a->core[i].has_pxm)
			add_domain(out, a->core[i].pxm);
	for (u32 i = 0; out->ndomains && i < a->nmemories; i++)
		add_domain(out, a->memory[i].pxm);
	for (u32 i = 0; i < a->ncores; i++) {
		struct archinfo_core *c = &out->core[out->ncores++];

		c->gid = a->core[i].apic_id;
		c->uid = a->core[i].uid;
		c->has_domain = a->core[i].has_pxm && find_domain(out, a->core[i].pxm, &c->domain);
	}
	for (u32 i = 0; i < a->nmemories; i++)
		add_range(out, &a->memory[i]);
	fill_distances(out, a);
	fill_near(out, a);
}

/* --- a file held against it --- */

static bool
has_core(const struct acpi *a, u32 gid)
{
	for (u32 i = 0; i < a->ncores; i++)
		if (a->core[i].apic_id == gid)
			return true;
	return false;
}

static int
restrict_cores(struct archinfo *file, const struct acpi *a, u32 boot_gid,
	       struct archinfo_dropped *dropped, struct archinfo_fault *fault)
{
	u32 kept = 0;
	bool boot = false;

	dropped->ncores = 0;
	for (u32 i = 0; i < file->ncores; i++) {
		u32 gid = file->core[i].gid;

		if (gid == boot_gid || has_core(a, gid)) {
			boot = boot || gid == boot_gid;
			file->core[kept++] = file->core[i];
			continue;
		}
		if (dropped->ncores < ARRAY_SIZE(dropped->gid))
			dropped->gid[dropped->ncores] = gid;
		dropped->ncores++;
	}
	file->ncores = kept;
	if (!boot)
		*fault = (struct archinfo_fault){"the boot core is not in it, APIC id", boot_gid};
	return boot ? 0 : -EINVAL;
}

static bool
is_ram(const struct archinfo_range *r)
{
	return r->kind == ARCH_RAM || r->kind == ARCH_FAR_RAM;
}

/* Every byte of the file's RAM is in the SRAT or in the firmware's map; the holes of the first
 * MiB are those of every PC. */
static int
find_phantom(const struct archinfo *file, const struct acpi *a, const struct boot_ranges *ram,
	     struct archinfo_fault *fault)
{
	struct boot_ranges present = *ram;

	ranges_add(&present, 0, FIRST_MIB);
	for (u32 i = 0; i < a->nmemories; i++)
		ranges_add(&present, a->memory[i].base, a->memory[i].size);
	for (u32 i = 0; i < file->nranges; i++) {
		u64 at = file->range[i].base, end = at + file->range[i].size, to;

		if (is_ram(&file->range[i]) && ranges_free(&present, &at, end, &to)) {
			*fault = (struct archinfo_fault){"no such memory, address", at};
			return -EINVAL;
		}
	}
	return 0;
}

/* What stays of *ram: the file's RAM without what it reserves, in whole pages. */
static void
restrict_ram(const struct archinfo *file, struct boot_ranges *ram)
{
	struct boot_ranges left = {0}, out = *ram;

	for (u32 i = 0; i < file->nranges; i++)
		if (is_ram(&file->range[i]))
			ranges_add(&left, file->range[i].base, file->range[i].size);
	for (u32 i = 0; i < file->nranges; i++)
		if (!is_ram(&file->range[i]))
			ranges_remove(&left, file->range[i].base, file->range[i].size);
	for (u32 i = 0; i < left.n; i++)
		ranges_remove(&out, left.r[i].base, left.r[i].size);
	/* What is left in `out` is what the file does not name. */
	for (u32 i = 0; i < out.n; i++) {
		u64 base = ALIGN_DOWN(out.r[i].base, PAGE_SIZE);

		ranges_remove(ram, base, ALIGN_UP(out.r[i].base + out.r[i].size, PAGE_SIZE) - base);
	}
}

int
archinfo_restrict(struct archinfo *file, const struct acpi *a, struct boot_ranges *ram,
		  u32 boot_gid, struct archinfo_dropped *dropped, struct archinfo_fault *fault)
{
	int err = restrict_cores(file, a, boot_gid, dropped, fault);

	if (!err)
		err = find_phantom(file, a, ram, fault);
	if (!err)
		restrict_ram(file, ram);
	return err;
}
