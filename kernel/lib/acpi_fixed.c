/*
 * FADT (power and reset registers, SCI, PM timer), HPET, MCFG, and the search for \_S5.
 * Pure; see acpi.h.
 */
#include "lib/acpi.h"
#include "lib/string.h"

#define FADT_RESET_SUPPORTED (1u << 10)
#define FADT_POWER_BUTTON    (1u << 4) /* set: it is not the fixed one but a device */
#define FADT_TIMER_32	     (1u << 8)
#define FADT_HW_REDUCED	     (1u << 20)

static struct acpi_register
read_gas(const u8 *p)
{
	return (struct acpi_register){.space = p[0], .bits = p[1], .address = acpi_u64(p + 4)};
}

/* The port of a fixed register: the extended form where it is there and is a port. */
static u32
fixed_port(const u8 *t, u32 len, u32 old, u32 extended)
{
	if (len >= extended + 12) {
		struct acpi_register r = read_gas(t + extended);

		if (r.space == 1 && r.address && r.address < 0x10000)
			return r.address;
	}
	return len >= old + 4 && acpi_u32(t + old) < 0x10000 ? acpi_u32(t + old) : 0;
}

u64
acpi_read_fadt(struct acpi *out, const u8 *t, u32 len)
{
	u64 dsdt;
	u32 flags;

	if (len < 116)
		return 0;
	flags = acpi_u32(t + 112);
	dsdt = acpi_u32(t + 40);
	if (len >= 148 && acpi_u64(t + 140))
		dsdt = acpi_u64(t + 140);
	if (len >= 129 && (flags & FADT_RESET_SUPPORTED)) {
		out->reset = read_gas(t + 116);
		out->reset_value = t[128];
	}
	if (flags & FADT_HW_REDUCED)
		return dsdt;
	out->has_fadt = true;
	out->sci = acpi_u16(t + 46);
	out->smi_cmd = acpi_u32(t + 48);
	out->acpi_enable = t[52];
	out->pm1a_event = fixed_port(t, len, 56, 148);
	out->pm1b_event = fixed_port(t, len, 60, 160);
	out->pm1a_control = fixed_port(t, len, 64, 172);
	out->pm1b_control = fixed_port(t, len, 68, 184);
	out->pm_timer = fixed_port(t, len, 76, 208);
	out->pm1_event_len = t[88];
	out->pm_timer_32 = flags & FADT_TIMER_32;
	out->century = t[108];
	out->power_button_fixed = !(flags & FADT_POWER_BUTTON);
	return dsdt;
}

void
acpi_read_hpet(struct acpi *out, const u8 *t, u32 len)
{
	struct acpi_register r;

	if (len < 56)
		return;
	r = read_gas(t + 40);
	if (r.space == 0)
		out->hpet = r.address;
}

void
acpi_read_mcfg(struct acpi *out, const u8 *t, u32 len)
{
	for (u32 at = 44; at + 16 <= len && out->nmcfgs < ACPI_MCFGS; at += 16)
		out->mcfg[out->nmcfgs++] = (struct acpi_mcfg){
			.base = acpi_u64(t + at),
			.segment = acpi_u16(t + at + 8),
			.bus_first = t[at + 10],
			.bus_last = t[at + 11],
		};
}

/* An AML integer constant of at most a byte at *at: ZeroOp, OneOp, BytePrefix. */
static bool
aml_byte(const u8 *t, u32 len, u32 *at, u8 *v)
{
	if (*at >= len)
		return false;
	if (t[*at] == 0x00 || t[*at] == 0x01) {
		*v = t[(*at)++];
		return true;
	}
	if (t[*at] != 0x0a || *at + 1 >= len)
		return false;
	*v = t[*at + 1];
	*at += 2;
	return true;
}

/* NameOp [\] _S5_ PackageOp PkgLength NumElements byte byte ... (ACPI 20.2) */
void
acpi_read_s5(struct acpi *out, const u8 *t, u32 len)
{
	for (u32 i = 37; i + 8 < len; i++) {
		u32 at = i + 4;
		u8 a, b;

		if (memcmp(t + i, "_S5_", 4) != 0)
			continue;
		if (t[i - 1] != 0x08 && !(t[i - 1] == '\\' && t[i - 2] == 0x08))
			continue;
		if (t[at++] != 0x12)
			continue;
		at += 1 + (t[at] >> 6); /* PkgLength: a lead byte says how many follow */
		at += 1;		/* NumElements */
		if (!aml_byte(t, len, &at, &a) || !aml_byte(t, len, &at, &b))
			continue;
		out->has_s5 = true;
		out->s5_a = a & 7;
		out->s5_b = b & 7;
		return;
	}
}
