/*
 * MADT (cores, IO-APICs, interrupt overrides), SRAT (which core and which memory are in which
 * proximity domain), SLIT (distances between them) and HMAT (whose cores are near to memory without
 * cores, and latencies). Pure; see acpi.h.
 */
#include "lib/acpi.h"
#include "lib/string.h"

#define MADT_ENABLED 1u
#define SRAT_ENABLED 1u
#define SRAT_NVRAM   4u

static void
add_core(struct acpi *out, u32 apic_id, u32 uid, u32 flags)
{
	struct acpi_core *c;

	if (!(flags & MADT_ENABLED))
		return;
	for (u32 i = 0; i < out->ncores; i++)
		if (out->core[i].apic_id == apic_id)
			return;
	if (out->ncores == ACPI_CORES) {
		out->cores_lost++;
		return;
	}
	c = &out->core[out->ncores++];
	c->apic_id = apic_id;
	c->uid = uid;
}

static void
add_ioapic(struct acpi *out, const u8 *e)
{
	if (out->nioapics == ACPI_IOAPICS)
		return;
	out->ioapic[out->nioapics++] = (struct acpi_ioapic){
		.id = e[2],
		.address = acpi_u32(e + 4),
		.gsi_base = acpi_u32(e + 8),
	};
}

/* Flags are MPS INTI: bits 1:0 polarity (3 low), bits 3:2 trigger (3 level); 0 is the bus's own,
 * which for ISA is high and edge. */
static void
add_override(struct acpi *out, const u8 *e)
{
	u16 flags = acpi_u16(e + 8);

	if (out->noverrides == ACPI_OVERRIDES || e[2] != 0)
		return;
	out->override[out->noverrides++] = (struct acpi_override){
		.irq = e[3],
		.gsi = acpi_u32(e + 4),
		.active_low = (flags & 3) == 3,
		.level = (flags >> 2 & 3) == 3,
	};
}

void
acpi_read_madt(struct acpi *out, const u8 *t, u32 len)
{
	if (len < 44)
		return;
	out->lapic = acpi_u32(t + 36);
	out->has_8259 = acpi_u32(t + 40) & 1;
	for (u32 at = 44; at + 2 <= len; at += t[at + 1]) {
		const u8 *e = t + at;

		if (e[1] < 2 || at + e[1] > len)
			return;
		if (e[0] == 0 && e[1] >= 8 && e[3] != 0xff)
			add_core(out, e[3], e[2], acpi_u32(e + 4));
		else if (e[0] == 1 && e[1] >= 12)
			add_ioapic(out, e);
		else if (e[0] == 2 && e[1] >= 10)
			add_override(out, e);
		else if (e[0] == 5 && e[1] >= 12)
			out->lapic = acpi_u64(e + 4);
		else if (e[0] == 9 && e[1] >= 16)
			add_core(out, acpi_u32(e + 4), acpi_u32(e + 12), acpi_u32(e + 8));
	}
}

static void
set_pxm(struct acpi *out, u32 apic_id, u32 pxm)
{
	for (u32 i = 0; i < out->ncores; i++) {
		if (out->core[i].apic_id != apic_id)
			continue;
		out->core[i].pxm = pxm;
		out->core[i].has_pxm = true;
	}
}

static void
add_memory(struct acpi *out, const u8 *e)
{
	u32 flags = acpi_u32(e + 28);
	struct acpi_range r = {
		.pxm = acpi_u32(e + 2),
		.base = acpi_u64(e + 8),
		.size = acpi_u64(e + 16),
	};

	if (!(flags & SRAT_ENABLED) || (flags & SRAT_NVRAM) || r.size == 0)
		return;
	if (r.base + r.size < r.base || out->nmemories == ACPI_MEMORIES)
		return;
	out->memory[out->nmemories++] = r;
}

void
acpi_read_srat(struct acpi *out, const u8 *t, u32 len)
{
	out->has_srat = true;
	for (u32 at = 48; at + 2 <= len; at += t[at + 1]) {
		const u8 *e = t + at;

		if (e[1] < 2 || at + e[1] > len)
			return;
		if (e[0] == 0 && e[1] >= 16 && (acpi_u32(e + 4) & SRAT_ENABLED))
			set_pxm(out, e[3],
				e[2] | (u32)e[9] << 8 | (u32)e[10] << 16 | (u32)e[11] << 24);
		else if (e[0] == 1 && e[1] >= 40)
			add_memory(out, e);
		else if (e[0] == 2 && e[1] >= 24 && (acpi_u32(e + 12) & SRAT_ENABLED))
			set_pxm(out, acpi_u32(e + 8), acpi_u32(e + 4));
	}
}

void
acpi_read_slit(struct acpi *out, const u8 *t, u32 len)
{
	u64 n;

	if (len < 44)
		return;
	n = acpi_u64(t + 36);
	if (n == 0 || n > 4096 || 44 + n * n > len)
		return;
	out->has_slit = true;
	out->slit_n = n < ACPI_PXMS ? n : ACPI_PXMS;
	for (u32 i = 0; i < out->slit_n; i++)
		memcpy(out->slit[i], t + 44 + i * n, out->slit_n);
}

/* Memory proximity domain attributes: flag 0 says that the initiator is given. */
static void
read_attached(struct acpi *out, const u8 *e, u32 len)
{
	if (len < 20 || !(acpi_u16(e + 8) & 1) || out->nattached == ACPI_PXMS)
		return;
	out->attached[out->nattached++] = (struct acpi_attached){
		.initiator = acpi_u32(e + 12),
		.memory = acpi_u32(e + 16),
	};
}

/* Latencies of plain memory (hierarchy 0), of an access or of a read. */
static void
read_latencies(struct acpi *out, const u8 *e, u32 len)
{
	u64 from, to;
	const u8 *list = e + 32, *values;

	if (len < 32 || (e[8] & 0xf) != 0 || e[9] > 1)
		return;
	from = acpi_u32(e + 12);
	to = acpi_u32(e + 16);
	if (from > len || to > len || 32 + 4 * (from + to) + 2 * from * to > len)
		return;
	values = list + 4 * (from + to);
	for (u64 i = 0; i < from; i++) {
		for (u64 k = 0; k < to; k++) {
			u32 x = acpi_u32(list + 4 * i), y = acpi_u32(list + 4 * (from + k));
			u16 v = acpi_u16(values + 2 * (i * to + k));

			if (x < ACPI_PXMS && y < ACPI_PXMS && v != 0xffff)
				out->latency[x][y] = v;
		}
	}
}

void
acpi_read_hmat(struct acpi *out, const u8 *t, u32 len)
{
	u32 size;

	for (u32 at = 40; at + 8 <= len; at += size) {
		const u8 *e = t + at;

		size = acpi_u32(e + 4);
		if (size < 8 || size > len - at)
			return;
		if (acpi_u16(e) == 0)
			read_attached(out, e, size);
		else if (acpi_u16(e) == 1)
			read_latencies(out, e, size);
	}
}
