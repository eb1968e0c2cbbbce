/*
 * The kernel's page tables. Every cluster has a root of its own, whose entries 256..510 are the
 * same everywhere (physmap, frame array, kernel stacks, device registers: tables shared by all
 * clusters until D3, see mm/kmap.h) and whose last entry maps the cluster's own kcode (R-X, one 2
 * MiB page), krodata (R--) and kdata (RW-). There is no identity map in it: the boot tables alone
 * have one.
 */
#include "arch/cpu.h"
#include "arch/pte.h"
#include "boot/boot.h"
#include "core/panic.h"
#include "lib/string.h"

#define PHYSMAP_PTE (PTE_P | PTE_W | PTE_A | PTE_D | PTE_G | PTE_NX)
#define MMIO_PTE    (PTE_P | PTE_W | PTE_A | PTE_D | PTE_G | PTE_NX | PTE_PCD | PTE_PWT)
#define TABLE_PTE   (PTE_P | PTE_W | PTE_A)
#define GIB	    (1UL << 30)
#define SLOT_SHIFT  39
#define MMIO_SLOTS  128 /* what MMIO_BASE has room for: 64 TiB */

static pte_t *
new_table(struct boot_plan *p, pte_t *slot)
{
	pte_t *t = bootmem_alloc_from(&p->mem, PAGE_SIZE, PAGE_SIZE);

	if (!t)
		panic("cluster %u: no memory for page tables", p->cxy);
	if (slot)
		*slot = virt_to_phys(t) | TABLE_PTE;
	return t;
}

static pte_t *
next_table(struct boot_plan *p, pte_t *slot)
{
	return *slot & PTE_P ? pte_table(*slot) : new_table(p, slot);
}

static bool
has_1g_pages(void)
{
	u32 r[4];

	cpuid(0x80000001, 0, r);
	return r[3] & (1u << 26);
}

static bool
is_memory(const struct boot_state *st, u64 base, u64 size)
{
	struct boot_range hit;

	return ranges_overlap(&st->ram, base, base + size, &hit) ||
	       ranges_overlap(&st->acpi, base, base + size, &hit);
}

static bool
is_all_memory(const struct boot_state *st, u64 base, u64 size)
{
	struct boot_range hit;

	return ranges_overlap(&st->ram, base, base + size, &hit) && hit.base <= base &&
	       hit.base + hit.size >= base + size;
}

static void
map_physmap(struct boot_state *st, struct boot_plan *p, pte_t *root)
{
	bool big = has_1g_pages();

	for (u64 at = 0; at < st->ram_end; at += GIB) {
		pte_t *pdpt, *pd;

		if (!is_memory(st, at, GIB))
			continue;
		pdpt = next_table(p, &root[pte_index(PHYSMAP_BASE + at, 3)]);
		if (big && is_all_memory(st, at, GIB)) {
			pdpt[pte_index(at, 2)] = at | PHYSMAP_PTE | PTE_PS;
			continue;
		}
		pd = new_table(p, &pdpt[pte_index(at, 2)]);
		for (u64 i = 0; i < 512; i++)
			if (is_memory(st, at + i * HUGE_SIZE, HUGE_SIZE))
				pd[i] = (at + i * HUGE_SIZE) | PHYSMAP_PTE | PTE_PS;
	}
}

static void
map_device_page(struct boot_plan *p, pte_t *root, paddr_t pa)
{
	vaddr_t va = MMIO_BASE + ALIGN_DOWN(pa, PAGE_SIZE);
	pte_t *t = root;

	if (pa == 0 || pa >= (u64)MMIO_SLOTS << SLOT_SHIFT)
		return;
	for (unsigned level = 3; level > 0; level--)
		t = next_table(p, &t[pte_index(va, level)]);
	t[pte_index(va, 0)] = ALIGN_DOWN(pa, PAGE_SIZE) | MMIO_PTE;
}

/* All root entries that device registers can need, then the registers that arch/ uses. */
static void
map_devices(struct boot_state *st, struct boot_plan *p, pte_t *root)
{
	u32 r[4], bits = 36, slots;

	cpuid(0x80000000, 0, r);
	if (r[0] >= 0x80000008) {
		cpuid(0x80000008, 0, r);
		bits = r[0] & 0xff;
	}
	slots = bits <= SLOT_SHIFT ? 1 : 1u << min(bits - SLOT_SHIFT, 7u);
	for (u32 i = 0; i < slots; i++)
		new_table(p, &root[pte_index(MMIO_BASE, 3) + i]);
	map_device_page(p, root, st->tables.lapic ? st->tables.lapic : 0xfee00000);
	map_device_page(p, root, st->tables.hpet);
	for (u32 i = 0; i < st->tables.nioapics; i++)
		map_device_page(p, root, st->tables.ioapic[i].address);
}

void
tables_shared(struct boot_state *st, struct boot_plan *p)
{
	pte_t *boot_root = phys_to_virt(st->low->pml4);
	pte_t *root = new_table(p, NULL);

	map_physmap(st, p, root);
	new_table(p, &root[pte_index(FRAMES_BASE, 3)]);
	new_table(p, &root[pte_index(KSTACKS_BASE, 3)]);
	map_devices(st, p, root);
	memcpy(boot_root + 256, root + 256, 255 * sizeof(pte_t));
	WRITE_CR(3, st->low->pml4);
}

/* Maps [pa, pa + size) at va by 4 KiB pages. */
static void
map_pages(struct boot_plan *p, pte_t *pd, vaddr_t va, paddr_t pa, u64 size, pte_t how)
{
	for (u64 at = 0; at < size; at += PAGE_SIZE) {
		pte_t *pt = next_table(p, &pd[pte_index(va + at, 1)]);

		pt[pte_index(va + at, 0)] = (pa + at) | how;
	}
}

/* A part of kdata, from the copy that begins at `copy`. */
static void
map_kdata(struct boot_plan *p, pte_t *pd, u64 from, u64 to, paddr_t copy)
{
	map_pages(p, pd, KDATA_BASE + from, copy + from, to - from,
		  PTE_P | PTE_W | PTE_A | PTE_D | PTE_G | PTE_NX);
}

paddr_t
tables_cluster(struct boot_state *st, struct boot_plan *p)
{
	const struct boot_low *low = st->low;
	pte_t *boot_root = phys_to_virt(low->pml4);
	pte_t *root = new_table(p, NULL), *pdpt, *pd;
	paddr_t kcode = st->cmdline.replicas_off ? st->plan[BOOT_CLUSTER].anchor : p->anchor;
	paddr_t krodata = kcode + HUGE_SIZE;
	u64 shared_end = low->kshared_start + low->kshared_size;

	memcpy(root + 256, boot_root + 256, 255 * sizeof(pte_t));
	pdpt = new_table(p, &root[511]);
	pd = new_table(p, &pdpt[pte_index(KCODE_BASE, 2)]);
	pd[pte_index(KCODE_BASE, 1)] = kcode | PTE_P | PTE_A | PTE_PS | PTE_G;
	map_pages(p, pd, KRODATA_BASE, krodata, ALIGN_UP(low->krodata_size, PAGE_SIZE),
		  PTE_P | PTE_A | PTE_G | PTE_NX);
	map_kdata(p, pd, 0, low->kshared_start, p->kdata);
	map_kdata(p, pd, low->kshared_start, shared_end, st->plan[BOOT_CLUSTER].kdata);
	map_kdata(p, pd, shared_end, ALIGN_UP(low->kdata_size, PAGE_SIZE), p->kdata);
	return virt_to_phys(root);
}
