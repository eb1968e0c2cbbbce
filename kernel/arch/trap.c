/*
 * Traps in C: descriptor tables of a core, and what happens to each kind of trap.
 *
 * Exceptions from user mode go up through trap_ops; a page fault in the kernel goes up too when it
 * is on a user address, and ends at a fix-up if the instruction has one. Everything else that the
 * kernel does wrong ends in panic_trap(). Device interrupts are acknowledged here, after their
 * handler ran. The way back to user mode is trap_leave().
 *
 * Locks: none. Everything is this core's own.
 */
#include "arch/trap.h"
#include "arch/apic.h"
#include "arch/context.h"
#include "arch/cpu.h"
#include "arch/ipi.h"
#include "arch/percpu.h"
#include "arch/stand.h"
#include "core/panic.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/string.h"
#include <asm/errno.h>

#define MSR_EFER	   0xc0000080
#define MSR_STAR	   0xc0000081
#define MSR_LSTAR	   0xc0000082
#define MSR_FMASK	   0xc0000084
#define MSR_GS_BASE	   0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

#define EFER_SCE 1u
#define EFER_NXE (1u << 11)

#define CR0_MP (1u << 1)
#define CR0_EM (1u << 2)
#define CR0_TS (1u << 3)
#define CR0_NE (1u << 5)
#define CR0_WP (1u << 16)

#define CR4_OSFXSR     (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_UMIP       (1u << 11)
#define CR4_SMEP       (1u << 20)
#define CR4_SMAP       (1u << 21)

#define RFLAGS_TF 0x100u
#define RFLAGS_DF 0x400u
#define RFLAGS_NT 0x4000u
#define RFLAGS_RF 0x10000u
#define RFLAGS_AC 0x40000u

#define VECTOR_DOUBLE_FAULT  8
#define VECTOR_MACHINE_CHECK 18

struct fixup {
	u64 start, end, target;
};

extern const struct fixup ex_table_start[], ex_table_end[];
extern const char trap_stubs[];
extern const char syscall_entry[];

void trap_dispatch(struct trapframe *f);
bool trap_syscall(struct trapframe *f);
void trap_leave(struct trapframe *f);
__noreturn void trap_fatal(struct trapframe *f);

static void
set_gate(struct arch_core *c, unsigned vector, unsigned ist)
{
	u64 target = (u64)trap_stubs + vector * 16;

	/* 0x8e: present, ring 0, interrupt gate. INT3 and INTO may come from user mode. */
	c->idt[vector] = (struct idt_gate){
		.offset_low = (u16)target,
		.selector = SEL_KCODE,
		.ist = (u8)ist,
		.type = vector == 3 || vector == 4 ? 0xee : 0x8e,
		.offset_middle = (u16)(target >> 16),
		.offset_high = (u32)(target >> 32),
	};
}

static void
load_tables(struct arch_core *c)
{
	struct __packed {
		u16 limit;
		u64 base;
	} gdtr = {sizeof(c->gdt) - 1, (u64)c->gdt}, idtr = {sizeof(c->idt) - 1, (u64)c->idt};
	u64 tss = (u64)&c->tss;

	c->gdt[0] = 0;
	c->gdt[1] = 0x00af9a000000ffffUL; /* kernel code, 64-bit */
	c->gdt[2] = 0x00cf92000000ffffUL; /* kernel data */
	c->gdt[3] = 0x00cff2000000ffffUL; /* user data */
	c->gdt[4] = 0x00affa000000ffffUL; /* user code, 64-bit */
	c->gdt[5] = (sizeof(struct tss) - 1) | (tss & 0xffffff) << 16 | 0x89UL << 40 |
		    (tss >> 24 & 0xff) << 56;
	c->gdt[6] = tss >> 32;
	c->tss.iomap_base = sizeof(struct tss);
	for (int i = 0; i < 3; i++)
		c->tss.ist[i] = (u64)c->ist_stack[i] + sizeof(c->ist_stack[i]);
	for (unsigned v = 0; v < 256; v++)
		set_gate(c, v, 0);
	set_gate(c, VECTOR_NMI, 1);
	set_gate(c, VECTOR_DOUBLE_FAULT, 2);
	set_gate(c, VECTOR_MACHINE_CHECK, 3);
	__asm__ volatile("lgdt %0; lidt %1" : : "m"(gdtr), "m"(idtr));
	__asm__ volatile("pushq %0; leaq 1f(%%rip), %%rax; pushq %%rax; lretq; 1:"
			 :
			 : "i"((u64)SEL_KCODE)
			 : "rax", "memory");
	__asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%ss; mov %1, %%fs; mov %1, %%gs"
			 :
			 : "r"(SEL_KDATA), "r"(0));
	__asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
}

static void
set_control_registers(struct arch_core *c)
{
	u32 leaf7[4] = {0}, leaf0[4];
	u64 cr4 = READ_CR(4) | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_PGE;

	cpuid(0, 0, leaf0);
	if (leaf0[0] >= 7)
		cpuid(7, 0, leaf7);
	if (leaf7[1] & (1u << 7))
		cr4 |= CR4_SMEP;
	if (leaf7[1] & (1u << 20))
		cr4 |= CR4_SMAP;
	if (leaf7[2] & (1u << 2))
		cr4 |= CR4_UMIP;
	WRITE_CR(4, cr4);
	WRITE_CR(0, (READ_CR(0) & ~(u64)(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE | CR0_WP);
	c->smap = cr4 & CR4_SMAP;
}

void
trap_init_core(struct arch_core *c, const struct trap_ops *ops)
{
	c->self = c;
	c->trap_ops = ops;
	load_tables(c); /* clears GS, so its base comes after */
	wrmsr(MSR_GS_BASE, (u64)c);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
	set_control_registers(c);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE | EFER_NXE);
	/* SYSCALL: CS 0x08, SS 0x10. SYSRET: SS 0x18|3, CS 0x20|3. */
	wrmsr(MSR_STAR, (u64)0x10 << 48 | (u64)SEL_KCODE << 32);
	wrmsr(MSR_LSTAR, (u64)syscall_entry);
	wrmsr(MSR_FMASK, RFLAGS_IF | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC | RFLAGS_RF);
}

void
trap_leave(struct trapframe *f)
{
	arch_core()->trap_ops->user_return(f);
	debug_assert(!irq_enabled());
	assert(arch_core()->irq_off_depth == 0);
}

/* Returns whether SYSRET restores the frame: RCX and R11 are lost to RIP and RFLAGS, the selectors
 * are fixed, and a RIP that is not canonical would fault in the kernel (SDM 2B, SYSRET). */
bool
trap_syscall(struct trapframe *f)
{
	irq_enable();
	arch_core()->trap_ops->syscall(f);
	irq_disable();
	trap_leave(f);
	return f->rcx == f->rip && f->r11 == f->rflags && f->rip < USER_TOP && f->cs == SEL_UCODE &&
	       f->ss == SEL_UDATA && !(f->rflags & (RFLAGS_TF | RFLAGS_RF));
}

static const struct fixup *
find_fixup(u64 rip)
{
	for (const struct fixup *x = ex_table_start; x < ex_table_end; x++)
		if (rip >= x->start && rip < x->end)
			return x;
	return NULL;
}

static bool
apply_fixup(struct trapframe *f)
{
	const struct fixup *x = find_fixup(f->rip);

	if (x)
		f->rip = x->target;
	return x;
}

/* Only the copy functions may touch user memory; for them the access is retried when the fault was
 * handled. Any other kernel access to a user address is a bug, whatever is mapped there. */
static void
page_fault(struct trapframe *f)
{
	vaddr_t va = READ_CR(2);
	int err = -EFAULT;

	if ((f->rflags & RFLAGS_IF) && arch_core()->irq_off_depth == 0)
		irq_enable();
	if (trapframe_is_user(f) || (va < USER_TOP && find_fixup(f->rip)))
		err = arch_core()->trap_ops->page_fault(f, va);
	if (err == 0)
		return;
	if (trapframe_is_user(f))
		arch_core()->trap_ops->user_exception(f, va);
	else if (!apply_fixup(f))
		panic_trap(f, "page fault in the kernel", va);
}

static void
exception(struct trapframe *f)
{
	if (f->vector == VECTOR_PAGE_FAULT) {
		page_fault(f);
	} else if (trapframe_is_user(f)) {
		irq_enable();
		arch_core()->trap_ops->user_exception(f, f->rip);
	} else if (!apply_fixup(f)) {
		panic_trap(f, "exception in the kernel", 0);
	}
}

/* Where it is to stand still is after what a core that is not yet may wait for. */
static void
serve_ipi(struct arch_core *c, u32 reasons)
{
	c->trap_ops->ipi(reasons);
	if (unlikely(reasons & IPI_STAND)) {
		stand_begin(c);
		stand_end(c);
	}
}

/* While in_irq is set nobody sends this core an IPI: see ipi_send(). */
static void
leave_interrupt(struct arch_core *c)
{
	for (;;) {
		u32 reasons;

		atomic_store(&c->in_irq, false);
		atomic_fence();
		if (likely(!atomic_load_relaxed(&c->mailbox)))
			return;
		c->in_irq = true;
		reasons = atomic_xchg(&c->mailbox, 0);
		if (reasons)
			serve_ipi(c, reasons);
	}
}

static void
serve(struct arch_core *c, unsigned vector, bool from_user)
{
	c->in_irq = true;
	c->irq_from_user = from_user;
	if (vector == VECTOR_TIMER)
		c->trap_ops->timer();
	else if (vector == VECTOR_IPI)
		serve_ipi(c, atomic_xchg(&c->mailbox, 0));
	else
		c->trap_ops->irq(vector);
	leave_interrupt(c);
	apic_eoi();
}

/* First of all it ends the rest of an idle core, which may have been stopped meanwhile. With a
 * spinlock held it is put off, and no other comes before the last lock is released. */
static void
interrupt(struct trapframe *f)
{
	struct arch_core *c = arch_core();

	stand_end(c);
	if (f->vector == VECTOR_SPURIOUS)
		return;
	if (c->irq_off_depth == 0) {
		serve(c, (unsigned)f->vector, trapframe_is_user(f));
		return;
	}
	assert(!c->later.irq);
	c->irq_vector = (u8)f->vector;
	c->irq_was_on = true;
	c->later.irq = true;
	f->rflags &= ~(u64)RFLAGS_IF;
}

void
trap_settle(struct arch_core *c)
{
	bool on = irq_enabled(), irq, ipi, timer;

	irq_disable();
	irq = c->later.irq;
	ipi = c->later.ipi;
	timer = c->later.timer;
	if (irq || c->later.flag)
		on = c->irq_was_on;
	c->later.any = 0;
	if (timer)
		apic_timer_set(c->timer_later);
	if (ipi)
		ipi_send_put_off(c);
	if (irq)
		serve(c, c->irq_vector, false);
	if (on)
		irq_enable();
}

void
trap_dispatch(struct trapframe *f)
{
	if (f->vector < 32)
		exception(f);
	else
		interrupt(f);
	if (trapframe_is_user(f)) {
		irq_disable();
		trap_leave(f);
	} else if (irq_enabled()) {
		irq_disable();
	}
}

/* For core/dump.c. */
static void
note_where(const struct trapframe *f)
{
	struct arch_core *c = arch_core();

	c->stopped_rbp = trapframe_is_user(f) ? 0 : f->rbp;
	atomic_store(&c->stopped_rip, f->rip);
}

void
trap_fatal(struct trapframe *f)
{
	if (f->vector == VECTOR_NMI)
		note_where(f);
	if (f->vector == VECTOR_NMI && (atomic_load(&arch_core()->mailbox) & IPI_STOP))
		for (;;)
			__asm__ volatile("cli; hlt");
	panic_trap(f,
		   f->vector == VECTOR_DOUBLE_FAULT ? "double fault (kernel stack overflow?)"
		   : f->vector == VECTOR_NMI	    ? "non-maskable interrupt"
						    : "machine check",
		   READ_CR(2));
}
