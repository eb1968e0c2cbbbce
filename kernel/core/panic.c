/*
 * The end of the kernel: stops the other cores, says why with registers and a backtrace, tells the
 * host and powers off. Uses the polled console only; takes no lock that another core may hold.
 */
#include "core/panic.h"
#include "arch/cpu.h"
#include "arch/ipi.h"
#include "arch/trap.h"
#include "core/core.h"
#include "core/dump.h"
#include "core/klog.h"
#include "core/klog_ring.h"
#include "core/symbols.h"
#include "core/thread.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/format.h"
#include "lib/string.h"

#define MSR_GS_BASE	 0xc0000101
#define BACKTRACE_FRAMES 32

void
panic_say(const char *fmt, ...)
{
	char line[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = format_v(line, sizeof(line), fmt, ap);
	va_end(ap);
	console_early_write(line, min((size_t)n, sizeof(line) - 1));
}

static void
say_address(u64 rip)
{
	u64 offset;
	const char *name = symbol_of(rip, &offset);

	panic_say("    %016llx  %s+0x%llx\n", (unsigned long long)rip, name ? name : "?",
		  (unsigned long long)offset);
}

bool
panic_may_read(u64 p)
{
	return IS_ALIGNED(p, 8) && p >= PHYSMAP_BASE && p < (u64)-4096;
}

void
stack_walk(u64 rip, u64 rbp, unsigned most, void (*fn)(u64 rip))
{
	if (rip)
		fn(rip);
	for (unsigned depth = 0; depth < most && panic_may_read(rbp); depth++) {
		const u64 *frame = (const u64 *)rbp;

		if (!frame[1])
			break;
		fn(frame[1]);
		if (frame[0] <= rbp)
			break;
		rbp = frame[0];
	}
}

void
backtrace_print(u64 rip, u64 rbp)
{
	panic_say("backtrace:\n");
	stack_walk(rip, rbp, BACKTRACE_FRAMES, say_address);
}

static void
say_registers(const struct trapframe *f, vaddr_t va)
{
#define R(x) ((unsigned long long)(f->x))
	panic_say("rip %016llx rsp %016llx rflags %08llx cs %02llx vector %llu error %llx cr2 "
		  "%016llx\n",
		  R(rip), R(rsp), R(rflags), R(cs), R(vector), R(error), (unsigned long long)va);
	panic_say("rax %016llx rbx %016llx rcx %016llx rdx %016llx\n", R(rax), R(rbx), R(rcx),
		  R(rdx));
	panic_say("rsi %016llx rdi %016llx rbp %016llx r8  %016llx\n", R(rsi), R(rdi), R(rbp),
		  R(r8));
	panic_say("r9  %016llx r10 %016llx r11 %016llx r12 %016llx\n", R(r9), R(r10), R(r11),
		  R(r12));
	panic_say("r13 %016llx r14 %016llx r15 %016llx\n", R(r13), R(r14), R(r15));
#undef R
}

static bool
has_core(void)
{
	return rdmsr(MSR_GS_BASE) != 0;
}

/* The first core in here goes on; others stop. */
static void
begin(const char *text)
{
	irq_disable();
	if (has_core() && machine()) {
		struct panicking *p = machine()->panicking;

		if (atomic_xchg(&p->begun, 1) != 0 && p->core != this_core())
			for (;;)
				__asm__ volatile("cli; hlt");
		p->core = this_core();
		ipi_stop_others();
		panic_say("\nHoldfast panic on core %u (cluster %u), thread '%s': %s\n",
			  this_core()->arch.index, this_core()->arch.cxy,
			  current_thread() ? current_thread()->name : "none", text);
		for (u32 i = 0; i < arch_core()->nheld; i++)
			panic_say("holds spinlock '%s'\n", arch_core()->held[i]->name);
	} else {
		panic_say("\nHoldfast panic during early boot: %s\n", text);
	}
}

/* The host's own channel: a line on COM2, by polling and without a lock. */
static void
tell_host(const char *text)
{
	char line[256];
	int n = format(line, sizeof(line) - 1, "panic %s", text);
	size_t len = min((size_t)n, sizeof(line) - 2);

	for (size_t i = 0; i < len; i++)
		if (line[i] == '\n')
			line[i] = ' ';
	line[len++] = '\n';
	control_early_write(line, len);
}

static __noreturn void
end(const char *text, u64 rip)
{
	panic_say("to look closer: gdb build/holdfast.elf -ex 'info line *0x%llx' -ex 'list "
		  "*0x%llx'\n",
		  (unsigned long long)rip, (unsigned long long)rip);
	tell_host(text);
	if (has_core() && machine() && machine()->panic_off)
		machine()->panic_off();
	for (;;)
		__asm__ volatile("cli; hlt");
}

void
panic(const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	format_v(text, sizeof(text), fmt, ap);
	va_end(ap);
	begin(text);
	backtrace_print(0, (u64)__builtin_frame_address(0));
	end(text, (u64)__builtin_return_address(0));
}

void
panic_trap(struct trapframe *f, const char *what, vaddr_t va)
{
	begin(what);
	say_registers(f, va);
	backtrace_print(f->rip, f->rbp);
	if (f->vector == VECTOR_NMI && has_core() && machine())
		dump_all();
	end(what, f->rip);
}

void
panic_set_off_switch(void (*fn)(void))
{
	machine()->panic_off = fn;
}

void
assert_failed(const char *expr, const char *file, int line)
{
	panic("assertion failed: %s (%s:%d)", expr, file, line);
}

/* gcc's stack protector calls it when a guard was overwritten. */
__noreturn void __stack_chk_fail(void);

void
__stack_chk_fail(void)
{
	panic("stack overrun (guard value overwritten)");
}
