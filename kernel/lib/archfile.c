/*
 * The reader of arch_info.bin (format: doc/multikernel.md). Every count, offset, run and reference
 * is checked against the file's size before it is followed; the first thing wrong refuses all of
 * it. Numbers are little endian, tables begin at multiples of 64. Pure; see archinfo.h.
 */
#include <asm/errno.h>
#include "lib/archinfo.h"
#include "lib/checksum.h"
#include "lib/string.h"

#define TABLE_ALIGN 64
#define KINDS	    5
#define IRQ_MODES   3

enum table { CLUSTERS, CORES, RANGES, DEVICES, IRQS, DISTANCES, TABLES };

struct reader {
	const u8 *data;
	u64 size; /* as the header says; not more than there is */
	u32 count[TABLES], offset[TABLES];
	u16 cxy[ARCH_DOMAINS];
	struct archinfo *out;
	struct archinfo_fault *fault;
};

static int
refuse(struct reader *r, const char *what, u64 where)
{
	*r->fault = (struct archinfo_fault){what, where};
	return -EINVAL;
}

static const u8 *
entry(const struct reader *r, enum table t, u32 size, u32 i)
{
	return r->data + r->offset[t] + (u64)i * size;
}

bool
archinfo_is_file(const void *data, u64 size)
{
	return size >= 4 && acpi_u32(data) == ARCHFILE_MAGIC;
}

/* --- header --- */

/* CRC-32 of the file with its own field taken as zero. */
static u32
file_crc(const u8 *data, u64 size)
{
	static const u8 zero[4];
	u32 crc = crc32(0, data, 16);

	crc = crc32(crc, zero, sizeof(zero));
	return crc32(crc, data + 20, size - 20);
}

static int
read_header(struct reader *r, u64 there)
{
	const u8 *h = r->data;

	if (there < ARCHFILE_HEADER)
		return refuse(r, "shorter than its header, bytes", there);
	r->size = acpi_u64(h + 8);
	if (!archinfo_is_file(h, there))
		return refuse(r, "no magic at offset", 0);
	if (acpi_u16(h + 4) != ARCHFILE_VERSION)
		return refuse(r, "version is not known:", acpi_u16(h + 4));
	if (acpi_u16(h + 6) != ARCHFILE_HEADER)
		return refuse(r, "header size is not 128 but", acpi_u16(h + 6));
	if (r->size < ARCHFILE_HEADER || r->size > there || r->size > ARCHFILE_MAX)
		return refuse(r, "its size is not what it says, bytes", r->size);
	if (acpi_u32(h + 16) != file_crc(h, r->size))
		return refuse(r, "wrong checksum, should be", file_crc(h, r->size));
	if (!memchr(h + 76, 0, ARCH_NAME))
		return refuse(r, "name has no end at offset", 76);
	string_copy(r->out->name, (const char *)h + 76, ARCH_NAME);
	return 0;
}

/* --- tables --- */

static int
place_table(struct reader *r, enum table t, u32 max, u32 size)
{
	u64 offset = r->offset[t], bytes = (u64)r->count[t] * size;

	if (r->count[t] > max)
		return refuse(r, "too many entries in the table at offset", offset);
	if (bytes == 0)
		return 0;
	if (offset < ARCHFILE_HEADER || offset % TABLE_ALIGN != 0)
		return refuse(r, "table at an impossible offset", offset);
	if (offset > r->size || bytes > r->size - offset)
		return refuse(r, "table goes beyond the file, offset", offset);
	return 0;
}

static int
check_apart(struct reader *r, const u64 *bytes)
{
	for (u32 i = 0; i < TABLES; i++)
		for (u32 k = i + 1; k < TABLES; k++)
			if (bytes[i] && bytes[k] && r->offset[i] < r->offset[k] + bytes[k] &&
			    r->offset[k] < r->offset[i] + bytes[i])
				return refuse(r, "tables overlap at offset", r->offset[k]);
	return 0;
}

static int
place_tables(struct reader *r)
{
	static const struct {
		u32 max, size;
	} tables[TABLES] = {
		[CLUSTERS] = {ARCH_DOMAINS, 64}, [CORES] = {ARCH_CORES, 16},
		[RANGES] = {ARCH_RANGES, 32},	 [DEVICES] = {ARCH_DEVICES, 64},
		[IRQS] = {4 * ARCH_DEVICES, 16}, [DISTANCES] = {ARCH_DOMAINS * ARCH_DOMAINS, 1},
	};
	u64 bytes[TABLES];
	int err = 0;

	for (u32 t = 0; t < DISTANCES; t++) {
		r->count[t] = acpi_u32(r->data + 24 + 8 * t);
		r->offset[t] = acpi_u32(r->data + 28 + 8 * t);
	}
	r->offset[DISTANCES] = acpi_u32(r->data + 72);
	if (r->count[CLUSTERS] == 0 || r->count[CLUSTERS] > ARCH_DOMAINS)
		return refuse(r, "impossible number of clusters:", r->count[CLUSTERS]);
	if (r->offset[DISTANCES])
		r->count[DISTANCES] = r->count[CLUSTERS] * r->count[CLUSTERS];
	for (u32 t = 0; t < TABLES && !err; t++) {
		err = place_table(r, t, tables[t].max, tables[t].size);
		bytes[t] = (u64)r->count[t] * tables[t].size;
	}
	return err ? err : check_apart(r, bytes);
}

/* --- clusters and their runs --- */

struct run {
	u32 first, count;
};

static struct run
run_of(const struct reader *r, u32 cluster, enum table t)
{
	const u8 *c = entry(r, CLUSTERS, 64, cluster);

	switch (t) {
	case CORES:
		return (struct run){acpi_u32(c + 4), acpi_u16(c + 2)};
	case RANGES:
		return (struct run){acpi_u32(c + 12), acpi_u16(c + 8)};
	default:
		return (struct run){acpi_u32(c + 16), acpi_u16(c + 10)};
	}
}

static int
check_runs(struct reader *r, enum table t)
{
	for (u32 i = 0; i < r->count[CLUSTERS]; i++) {
		struct run a = run_of(r, i, t);

		if ((u64)a.first + a.count > r->count[t])
			return refuse(r, "a run goes beyond its table, cluster entry", i);
		for (u32 k = 0; k < i; k++) {
			struct run b = run_of(r, k, t);

			if (a.count && b.count && a.first < b.first + b.count &&
			    b.first < a.first + a.count)
				return refuse(r, "runs of clusters overlap, cluster entry", i);
		}
	}
	return 0;
}

static bool
find_cxy(const struct reader *r, u16 cxy, u16 *domain)
{
	for (u32 i = 0; i < r->count[CLUSTERS]; i++) {
		if (r->cxy[i] == cxy) {
			*domain = (u16)i;
			return true;
		}
	}
	return false;
}

static int
read_clusters(struct reader *r)
{
	struct archinfo *out = r->out;
	u16 boot;
	int err = 0;

	for (u32 i = 0; i < r->count[CLUSTERS]; i++) {
		const u8 *c = entry(r, CLUSTERS, 64, i);

		r->cxy[i] = acpi_u16(c);
		for (u32 k = 0; k < i; k++)
			if (r->cxy[k] == r->cxy[i])
				return refuse(r, "two clusters with the same cxy, entry", i);
		out->pxm[i] = acpi_u32(c + 20);
		out->near[i] = (u16)i;
	}
	out->ndomains = r->count[CLUSTERS];
	for (u32 t = CORES; t <= DEVICES && !err; t++)
		err = check_runs(r, t);
	if (err)
		return err;
	if (!find_cxy(r, acpi_u16(r->data + 64), &boot))
		return refuse(r, "no boot cluster with cxy", acpi_u16(r->data + 64));
	if (!find_cxy(r, acpi_u16(r->data + 66), &out->io))
		return refuse(r, "no input/output cluster with cxy", acpi_u16(r->data + 66));
	return 0;
}

/* --- what the runs hold --- */

static int
read_core(struct reader *r, u32 cluster, u32 i)
{
	const u8 *c = entry(r, CORES, 16, i);
	struct archinfo_core core = {
		.gid = acpi_u32(c),
		.uid = acpi_u32(c + 12),
		.domain = (u16)cluster,
		.has_domain = true,
	};

	if (acpi_u16(c + 4) != r->cxy[cluster])
		return refuse(r, "core in a run of another cluster, core entry", i);
	if (acpi_u16(c + 6) >= run_of(r, cluster, CORES).count)
		return refuse(r, "lid beyond its cluster's cores, core entry", i);
	for (u32 k = 0; k < r->out->ncores; k++)
		if (r->out->core[k].gid == core.gid)
			return refuse(r, "two cores with the same id, core entry", i);
	if (acpi_u32(c + 8) & 1)
		r->out->core[r->out->ncores++] = core;
	return 0;
}

static int
read_range(struct reader *r, u32 cluster, u32 i)
{
	const u8 *e = entry(r, RANGES, 32, i);
	struct archinfo_range a = {
		.base = acpi_u64(e),
		.size = acpi_u64(e + 8),
		.domain = (u16)cluster,
		.kind = acpi_u16(e + 18),
	};

	if (acpi_u16(e + 16) != r->cxy[cluster])
		return refuse(r, "range in a run of another cluster, range entry", i);
	if (a.kind >= KINDS)
		return refuse(r, "range of an unknown kind, range entry", i);
	if (a.size == 0 || a.base + a.size < a.base)
		return refuse(r, "range of an impossible length, range entry", i);
	for (u32 k = 0; k < r->out->nranges; k++) {
		const struct archinfo_range *b = &r->out->range[k];

		/* What is reserved may be said beside the memory that it lies in. */
		if ((a.kind == ARCH_RESERVED) == (b->kind == ARCH_RESERVED) &&
		    a.base < b->base + b->size && b->base < a.base + a.size)
			return refuse(r, "ranges overlap, range entry", i);
	}
	r->out->range[r->out->nranges++] = a;
	return 0;
}

static int
read_device(struct reader *r, u32 cluster, u32 i)
{
	struct arch_device *d = &r->out->device[r->out->ndevices];
	const u8 *e = entry(r, DEVICES, 64, i);

	*d = (struct arch_device){
		.base = acpi_u64(e),
		.size = acpi_u64(e + 8),
		.type = acpi_u32(e + 16),
		.cxy = (u16)cluster,
		.channels = acpi_u16(e + 22),
		.bdf = acpi_u32(e + 24),
		.irq_first = acpi_u32(e + 44),
		.irqs = acpi_u16(e + 48),
	};
	for (u32 k = 0; k < ARRAY_SIZE(d->param); k++)
		d->param[k] = acpi_u32(e + 28 + 4 * k);
	if (acpi_u16(e + 20) != r->cxy[cluster])
		return refuse(r, "device in a run of another cluster, device entry", i);
	if (d->base + d->size < d->base)
		return refuse(r, "device of an impossible size, device entry", i);
	if ((u64)d->irq_first + d->irqs > r->count[IRQS])
		return refuse(r, "a run goes beyond its table, device entry", i);
	r->out->ndevices++;
	return 0;
}

static int
read_run(struct reader *r, u32 cluster, enum table t,
	 int (*read)(struct reader *r, u32 cluster, u32 i))
{
	struct run run = run_of(r, cluster, t);
	int err = 0;

	for (u32 i = run.first; i < run.first + run.count && !err; i++)
		err = read(r, cluster, i);
	return err;
}

static int
check_irqs(struct reader *r)
{
	for (u32 i = 0; i < r->count[IRQS]; i++) {
		const u8 *e = entry(r, IRQS, 16, i);

		if (acpi_u32(e) >= r->count[DEVICES] || acpi_u32(e + 12) >= r->count[DEVICES])
			return refuse(r, "interrupt of no device, irq entry", i);
		if (e[6] >= IRQ_MODES)
			return refuse(r, "interrupt of an unknown mode, irq entry", i);
	}
	return 0;
}

static int
read_distances(struct reader *r)
{
	u32 n = r->count[CLUSTERS];

	for (u32 i = 0; i < n; i++) {
		for (u32 k = 0; k < n; k++) {
			u8 d = i == k ? 10 : 20;

			if (r->offset[DISTANCES])
				d = r->data[r->offset[DISTANCES] + i * n + k];
			if (d < 10 || (i == k && d != 10))
				return refuse(r, "impossible distance, row", i);
			r->out->distance[i][k] = d;
		}
	}
	return 0;
}

int
archinfo_read(struct archinfo *out, const void *data, u64 size, struct archinfo_fault *fault)
{
	struct reader r = {.data = data, .out = out, .fault = fault};
	int err;

	memset(out, 0, sizeof(*out));
	err = read_header(&r, size);
	if (!err)
		err = place_tables(&r);
	if (!err)
		err = read_clusters(&r);
	if (!err)
		err = check_irqs(&r);
	for (u32 i = 0; i < out->ndomains && !err; i++) {
		err = read_run(&r, i, CORES, read_core);
		if (!err)
			err = read_run(&r, i, RANGES, read_range);
		if (!err)
			err = read_run(&r, i, DEVICES, read_device);
	}
	return err ? err : read_distances(&r);
}
