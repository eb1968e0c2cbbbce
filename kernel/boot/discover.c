/*
 * What the machine is made of: the ACPI tables say it, and an arch_info.bin that came as a boot
 * module may leave things out and group the rest otherwise. A file that is wrong is refused with a
 * line, and the boot goes on from ACPI. The file is read where the boot loader put it, before that
 * memory is anything else.
 */
#include "arch/apic.h"
#include "arch/cpu.h"
#include "boot/boot.h"
#include "boot/wake.h"
#include "lib/format.h"
#include "lib/string.h"

/* How far APIC ids are to be shifted so that threads of one core have the same (SDM 2A, CPUID). */
static u32
smt_shift(void)
{
	u32 leaf[4] = {0};

	cpuid(0, 0, leaf);
	if (leaf[0] < 0xb)
		return 0;
	cpuid(0xb, 0, leaf);
	return leaf[1] ? leaf[0] & 31 : 0;
}

static void
find_boot_core(struct boot_state *st)
{
	struct acpi *a = &st->tables;
	bool found = false;

	st->boot_gid = apic_id();
	st->kind = core_kind();
	st->smt_shift = smt_shift();
	for (u32 i = 0; i < a->ncores; i++)
		found = found || a->core[i].apic_id == st->boot_gid;
	if (found)
		return;
	a->ncores = 1; /* no MADT: the boot core alone */
	a->core[0] = (struct acpi_core){.apic_id = st->boot_gid};
}

static void
say_dropped(struct boot_state *st, const struct archinfo_dropped *d)
{
	for (u32 i = 0; i < min(d->ncores, (u32)ARRAY_SIZE(d->gid)); i++)
		boot_say(st, KLOG_WARN, "arch_info.bin: core %u is not in this machine: left out",
			 d->gid[i]);
	if (d->ncores > ARRAY_SIZE(d->gid))
		boot_say(st, KLOG_WARN, "arch_info.bin: and %u more",
			 d->ncores - (u32)ARRAY_SIZE(d->gid));
}

static bool
use_file(struct boot_state *st)
{
	struct archinfo *ai = &st->arch;
	struct archinfo_dropped dropped = {0};
	struct archinfo_fault fault;
	int err = archinfo_read(ai, phys_to_virt(st->arch_paddr), st->arch_size, &fault);

	if (!err)
		err = archinfo_restrict(ai, &st->tables, &st->usable, st->boot_gid, &dropped,
					&fault);
	if (err) {
		boot_say(st, KLOG_WARN, "arch_info.bin refused, going by ACPI: %s 0x%llx",
			 fault.what, (unsigned long long)fault.where);
		return false;
	}
	say_dropped(st, &dropped);
	boot_say(st, KLOG_BOOT, "arch_info.bin \"%s\": %u cores and %llu of %llu MiB in %u domains",
		 ai->name, ai->ncores, (unsigned long long)(ranges_bytes(&st->usable) >> 20),
		 (unsigned long long)(ranges_bytes(&st->ram) >> 20), ai->ndomains);
	format(st->report->source, sizeof(st->report->source), "arch_info.bin %s", ai->name);
	return true;
}

void
discover_machine(struct boot_state *st)
{
	find_boot_core(st);
	st->usable = st->ram;
	if (st->arch_size && st->cmdline.noarch)
		boot_say(st, KLOG_BOOT, "arch_info.bin not looked at: noarch");
	else if (st->arch_size && use_file(st))
		return;
	archinfo_from_acpi(&st->arch, &st->tables);
	string_copy(st->report->source, "ACPI", sizeof(st->report->source));
}
