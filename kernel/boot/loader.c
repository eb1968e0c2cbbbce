/*
 * What the boot loader hands over: Multiboot 1 information or the PVH start information, turned
 * into the same memory map, root image, command line and RSDP. Everything is copied; afterwards the
 * loader's own structures are free memory.
 */
#include "boot/boot.h"
#include "core/panic.h"
#include "lib/string.h"

#define MB_MEMORY  (1u << 0)
#define MB_CMDLINE (1u << 2)
#define MB_MODULES (1u << 3)
#define MB_MMAP	   (1u << 6)

#define E820_RAM  1
#define E820_ACPI 3
#define E820_NVS  4

#define PVH_MAGIC 0x336ec578u

struct multiboot_info {
	u32 flags;
	u32 mem_lower, mem_upper; /* KiB */
	u32 boot_device;
	u32 cmdline;
	u32 mods_count, mods_addr;
	u32 syms[4];
	u32 mmap_length, mmap_addr;
};

struct multiboot_module {
	u32 start, end;
	u32 cmdline;
	u32 reserved;
};

struct multiboot_mmap {
	u32 size; /* of what follows */
	u64 base, length;
	u32 type;
} __packed;

struct pvh_info {
	u32 magic, version, flags, nr_modules;
	u64 modlist, cmdline, rsdp;
	u64 memmap; /* from version 1 on */
	u32 memmap_entries, reserved;
};

struct pvh_module {
	u64 paddr, size, cmdline, reserved;
};

struct pvh_memmap {
	u64 base, size;
	u32 type, reserved;
};

static void
add_map(struct boot_state *st, u64 base, u64 size, u32 type)
{
	u64 end = base + size;

	if (end < base || base >= 1UL << 46)
		return;
	if (type == E820_RAM) {
		/* Page 0 stays out: a null physical address is a bug, not a page. */
		base = max(ALIGN_UP(base, PAGE_SIZE), PAGE_SIZE);
		end = ALIGN_DOWN(end, PAGE_SIZE);
		if (end > base)
			ranges_add(&st->ram, base, end - base);
	} else if (type == E820_ACPI || type == E820_NVS) {
		ranges_add(&st->acpi, ALIGN_DOWN(base, PAGE_SIZE),
			   ALIGN_UP(end, PAGE_SIZE) - ALIGN_DOWN(base, PAGE_SIZE));
	}
}

/* An arch_info.bin is known by its magic; the first of the others is the root image. Modules beyond
 * the boot tables' reach are not looked into. */
static void
add_module(struct boot_state *st, u64 start, u64 size)
{
	bool near = start < BOOT_REACH && size <= BOOT_REACH - start;

	if (near && archinfo_is_file(phys_to_virt(start), size)) {
		st->arch_paddr = start;
		st->arch_size = size;
	} else if (size && !st->module_size) {
		st->module_paddr = start;
		st->module_size = size;
	}
}

static void
read_multiboot(struct boot_state *st, paddr_t info)
{
	const struct multiboot_info *mb = phys_to_virt(info);
	const struct multiboot_module *mod = phys_to_virt(mb->mods_addr);

	if (mb->flags & MB_MMAP) {
		for (u32 at = 0; at + sizeof(struct multiboot_mmap) <= mb->mmap_length;) {
			const struct multiboot_mmap *e = phys_to_virt(mb->mmap_addr + at);

			add_map(st, e->base, e->length, e->type);
			at += e->size + 4;
		}
	} else if (mb->flags & MB_MEMORY) {
		add_map(st, 0, (u64)mb->mem_lower << 10, E820_RAM);
		add_map(st, 1UL << 20, (u64)mb->mem_upper << 10, E820_RAM);
	}
	if (mb->flags & MB_MODULES) {
		for (u32 i = 0; i < mb->mods_count; i++)
			if (mod[i].end > mod[i].start)
				add_module(st, mod[i].start, mod[i].end - mod[i].start);
	}
	if (mb->flags & MB_CMDLINE)
		string_copy(st->cmdline_text, phys_to_virt(mb->cmdline), BOOT_CMDLINE);
}

static void
read_pvh(struct boot_state *st, paddr_t info)
{
	const struct pvh_info *p = phys_to_virt(info);
	const struct pvh_module *mod = phys_to_virt(p->modlist);
	const struct pvh_memmap *map;

	if (p->magic != PVH_MAGIC)
		panic("PVH start information has no magic");
	if (p->version < 1)
		panic("PVH start information has no memory map (version %u)", p->version);
	map = phys_to_virt(p->memmap);
	for (u32 i = 0; i < p->memmap_entries; i++)
		add_map(st, map[i].base, map[i].size, map[i].type);
	for (u32 i = 0; i < p->nr_modules; i++)
		add_module(st, mod[i].paddr, mod[i].size);
	if (p->cmdline)
		string_copy(st->cmdline_text, phys_to_virt(p->cmdline), BOOT_CMDLINE);
	st->rsdp = p->rsdp;
}

/* The root image is shown where it lies, so all of it is memory. QEMU's loader leaves a fixed room
 * for the firmware behind it, which takes more where there are many disks: the map then ends amid
 * the image, that was written last. */
static void
keep_module(struct boot_state *st)
{
	u64 base = ALIGN_DOWN(st->module_paddr, PAGE_SIZE);

	if (st->module_size)
		ranges_add(&st->ram, base,
			   ALIGN_UP(st->module_paddr + st->module_size, PAGE_SIZE) - base);
}

void
loader_read(struct boot_state *st, paddr_t info)
{
	if (st->how == BOOT_BY_PVH)
		read_pvh(st, info);
	else
		read_multiboot(st, info);
	if (!st->ram.n)
		panic("the boot loader gave no memory map");
	keep_module(st);
	if (st->ram.n == BOOT_MAP)
		boot_say(st, KLOG_WARN, "memory map cut short: more than %u pieces", BOOT_MAP);
	st->ram_end = st->ram.r[st->ram.n - 1].base + st->ram.r[st->ram.n - 1].size;
	if (st->acpi.n)
		st->ram_end = max(st->ram_end, st->acpi.r[st->acpi.n - 1].base +
						       st->acpi.r[st->acpi.n - 1].size);
}
