/*
 * The way from the RSDP to the tables: XSDT or RSDT, one reader per signature.
 * Pure; see acpi.h. Nothing is kept of the tables themselves.
 */
#include <asm/errno.h>
#include "lib/acpi.h"
#include "lib/string.h"

#define SDT_HEADER 36
#define SDT_MAX	   (16u << 20) /* a longer table is taken for garbage */

static bool
checksum_ok(const u8 *p, u32 n)
{
	u8 sum = 0;

	while (n--)
		sum += *p++;
	return sum == 0;
}

/* A whole, checked table, or NULL. */
static const u8 *
table_view(u64 paddr, u32 *len, const struct acpi_memory *mem)
{
	const u8 *h = paddr ? mem->view(mem, paddr, SDT_HEADER) : NULL;
	const u8 *t;

	if (!h)
		return NULL;
	*len = acpi_u32(h + 4);
	if (*len < SDT_HEADER || *len > SDT_MAX)
		return NULL;
	t = mem->view(mem, paddr, *len);
	if (!t || !checksum_ok(t, *len))
		return NULL;
	return t;
}

static void
read_aml(struct acpi *out, u64 paddr, const struct acpi_memory *mem)
{
	u32 len;
	const u8 *t = table_view(paddr, &len, mem);

	if (t)
		acpi_read_s5(out, t, len);
}

static void
read_table(struct acpi *out, u64 paddr, const struct acpi_memory *mem)
{
	u32 len;
	const u8 *t = table_view(paddr, &len, mem);

	if (!t)
		return;
	if (!memcmp(t, "APIC", 4))
		acpi_read_madt(out, t, len);
	else if (!memcmp(t, "SRAT", 4))
		acpi_read_srat(out, t, len);
	else if (!memcmp(t, "SLIT", 4))
		acpi_read_slit(out, t, len);
	else if (!memcmp(t, "HMAT", 4))
		acpi_read_hmat(out, t, len);
	else if (!memcmp(t, "MCFG", 4))
		acpi_read_mcfg(out, t, len);
	else if (!memcmp(t, "HPET", 4))
		acpi_read_hpet(out, t, len);
	else if (!memcmp(t, "FACP", 4))
		read_aml(out, acpi_read_fadt(out, t, len), mem);
	else if (!memcmp(t, "SSDT", 4) && !out->has_s5)
		acpi_read_s5(out, t, len);
}

/* Whether the two tables that need each other's order come in two rounds: the SRAT gives proximity
 * domains to cores that the MADT has listed, so it is read after it. */
static bool
is_late(u64 paddr, const struct acpi_memory *mem)
{
	const u8 *h = mem->view(mem, paddr, SDT_HEADER);

	return h && !memcmp(h, "SRAT", 4);
}

static void
read_list(struct acpi *out, const u8 *t, u32 len, unsigned width, const struct acpi_memory *mem)
{
	for (int late = 0; late < 2; late++) {
		for (u32 at = SDT_HEADER; at + width <= len; at += width) {
			u64 paddr = width == 8 ? acpi_u64(t + at) : acpi_u32(t + at);

			if (paddr && is_late(paddr, mem) == (late == 1))
				read_table(out, paddr, mem);
		}
	}
}

static bool
rsdp_valid(const u8 *r)
{
	return r && !memcmp(r, "RSD PTR ", 8) && checksum_ok(r, 20);
}

u64
acpi_find_rsdp(u64 base, u64 size, const struct acpi_memory *mem)
{
	for (u64 p = ALIGN_UP(base, 16); p + 20 <= base + size; p += 16)
		if (rsdp_valid(mem->view(mem, p, 20)))
			return p;
	return 0;
}

int
acpi_read(struct acpi *out, u64 rsdp, const struct acpi_memory *mem)
{
	const u8 *r = mem->view(mem, rsdp, 20);
	const u8 *x, *t = NULL;
	unsigned width = 8;
	u32 len = 0;

	memset(out, 0, sizeof(*out));
	if (!rsdp_valid(r))
		return -EINVAL;
	out->rsdp = rsdp;
	if (r[15] >= 2) {
		x = mem->view(mem, rsdp, 36);
		if (x && checksum_ok(x, 36))
			t = table_view(acpi_u64(x + 24), &len, mem);
	}
	if (t && memcmp(t, "XSDT", 4) != 0)
		t = NULL;
	if (!t) {
		width = 4;
		t = table_view(acpi_u32(r + 16), &len, mem);
		if (!t || memcmp(t, "RSDT", 4) != 0)
			return -EINVAL;
	}
	read_list(out, t, len, width, mem);
	return 0;
}
