/*
 * What the kernel does with traps: system calls go up to linux/, page faults to mm/, exceptions of
 * programs become signals, interrupts go to their handlers; and before a program goes on, whatever
 * its thread's flags ask for is done.
 *
 * No locks. user_return runs with interrupts off and turns them on only while it works.
 */
#include "proc/siginfo_uapi.h"
#include <asm/errno.h>
#include <asm/signal.h>

#include "arch/apic.h"
#include "arch/context.h"
#include "arch/cpu.h"
#include "arch/ipi.h"
#include "cluster/rpc.h"
#include "core/klog.h"
#include "core/persist.h"
#include "core/quiesce.h"
#include "core/sched.h"
#include "core/timer.h"
#include "lib/string.h"
#include "mm/fault.h"
#include "mm/map.h"
#include "mm/pmap.h"
#include "mm/reclaim.h"
#include "proc/process.h"
#include "proc/trap.h"

#define TF_WORK		   (TF_RESCHED | TF_SIGNAL | TF_KILLED | TF_USER_WORK | TF_PARK | TF_CHECKPOINT)
#define RFLAGS_TF	   0x100UL
#define ERESTART_FIRST	   ERESTARTSYS
#define ERESTART_LAST	   ERESTART_BLOCK
#define PAGE_FAULT_PRESENT 1u

/* --- FPU --- */

static bool
fpu_is_loaded(const struct thread *t)
{
	return arch_core()->fpu_owner == t && t->fpu_core == this_core();
}

void
fpu_sync_current(void)
{
	struct thread *t = current_thread();

	irq_push_off();
	if (fpu_is_loaded(t))
		fpu_save(t->fpu);
	irq_pop_off();
}

void
fpu_drop_current(void)
{
	struct thread *t = current_thread();

	irq_push_off();
	if (arch_core()->fpu_owner == t)
		arch_core()->fpu_owner = NULL;
	t->fpu_core = NULL;
	irq_pop_off();
}

/* => interrupts off */
static void
fpu_load(struct thread *t)
{
	if (fpu_is_loaded(t))
		return;
	fpu_restore(t->fpu);
	arch_core()->fpu_owner = t;
	t->fpu_core = this_core();
}

/* --- system calls --- */

static void
op_syscall(struct trapframe *f)
{
	this_core()->stat_syscalls++;
	machine()->dispatch(f);
}

/* --- faults --- */

static int
op_page_fault(struct trapframe *f, vaddr_t va)
{
	int err;

	/* Copies under a spinlock must not sleep: they get -EFAULT and try again without the lock.
	 */
	if (!trapframe_is_user(f) &&
	    (arch_core()->irq_off_depth > 0 || arch_core()->in_irq || !current_thread()->process))
		return -EFAULT;
	err = mm_trap_page_fault(f, va);
	if (err == -ENOMEM && trapframe_is_user(f) && reclaim_later())
		return 0;
	if (err == 0)
		reclaim_helped();
	if (err && trapframe_is_user(f))
		current_task()->fault_errno = err;
	return err;
}

static void
page_fault_signal(struct trapframe *f, vaddr_t va, struct siginfo_k *info)
{
	struct task *t = current_task();

	t->fault_addr = va;
	info->addr = va;
	info->signo = SIGSEGV;
	switch (t->fault_errno) {
	case -EACCES:
		info->code = SEGV_ACCERR;
		break;
	case -ENXIO:
	case -EIO: /* the page could not be read */
	case -EBADMSG:
		info->signo = SIGBUS;
		info->code = BUS_ADRERR;
		break;
	case -ENOMEM:
		klog(KLOG_WARN, "proc", "out of memory: ended %s[%d]", t->thread.name,
		     t->process->pid);
		process_exit_group(SIGKILL);
	default:
		info->code = f->error & PAGE_FAULT_PRESENT ? SEGV_ACCERR : SEGV_MAPERR;
	}
}

/* si_code of a floating-point exception: the first unmasked one (SDM 1, 8.5 and 11.5). */
static int
fpe_code(bool simd)
{
	const u8 *area = current_thread()->fpu;
	u16 control, status;
	u32 mxcsr, now;

	fpu_sync_current();
	memcpy(&control, area, sizeof(control));
	memcpy(&status, area + 2, sizeof(status));
	memcpy(&mxcsr, area + 24, sizeof(mxcsr));
	if (simd)
		now = mxcsr & 0x3f & ~(mxcsr >> 7);
	else
		now = status & ~control & 0x3f;
	return now & 1	    ? FPE_FLTINV
	       : now & 4    ? FPE_FLTDIV
	       : now & 8    ? FPE_FLTOVF
	       : now & 0x12 ? FPE_FLTUND
			    : FPE_FLTRES;
}

static void
exception_signal(struct trapframe *f, vaddr_t va, struct siginfo_k *info)
{
	info->addr = f->rip;
	switch (f->vector) {
	case 0:
		info->signo = SIGFPE, info->code = FPE_INTDIV;
		break;
	case 1:
		info->signo = SIGTRAP, info->code = TRAP_TRACE;
		break;
	case 3:
		info->signo = SIGTRAP, info->code = SI_KERNEL, info->addr = 0;
		break;
	case 6:
		info->signo = SIGILL, info->code = ILL_ILLOPN;
		break;
	case 11:
	case 12:
		info->signo = SIGBUS, info->code = SI_KERNEL, info->addr = 0;
		break;
	case 16:
	case 19:
		info->signo = SIGFPE, info->code = fpe_code(f->vector == 19);
		break;
	case 17:
		info->signo = SIGBUS, info->code = BUS_ADRALN, info->addr = 0;
		break;
	default:
		info->signo = SIGSEGV, info->code = SI_KERNEL, info->addr = 0;
		break;
	}
}

static void
op_user_exception(struct trapframe *f, vaddr_t va)
{
	struct task *t = current_task();
	struct siginfo_k info = {0};

	t->fault_vector = f->vector;
	t->fault_error = f->error;
	if (f->vector == VECTOR_PAGE_FAULT)
		page_fault_signal(f, va, &info);
	else
		exception_signal(f, va, &info);
	klog(KLOG_DEBUG, "proc", "%s[%d]: trap %lu error %lx at %lx address %lx", t->thread.name,
	     t->thread.tid, f->vector, f->error, f->rip, va);
	signal_force(info.signo, &info);
}

/* --- interrupts --- */

static void
op_timer(void)
{
	timer_interrupt();
}

static void
op_ipi(u32 reasons)
{
	if (reasons & IPI_TLB)
		pmap_serve_shootdown();
	if (reasons & IPI_RPC)
		rpc_serve();
	if (reasons & IPI_TIMER)
		timer_interrupt();
	if (reasons & IPI_RESCHED)
		sched_ipi();
}

static void
op_irq(unsigned vector)
{
	this_core()->stat_irqs++;
	irq_dispatch(vector);
}

/* --- back to the program --- */

static bool
wants_restart(const struct trapframe *f)
{
	s64 result = (s64)f->rax;

	return f->vector == VECTOR_SYSCALL && f->orig_rax != ~0UL && result <= -ERESTART_FIRST &&
	       result >= -ERESTART_LAST;
}

static void
wait_for_checkpoint(struct task *t)
{
	atomic_fetch_and(&t->thread.flags, ~TF_CHECKPOINT);
	persist_wait();
}

static void
op_user_return(struct trapframe *f)
{
	struct task *t = current_task();
	u32 flags;

	while (((flags = atomic_load(&t->thread.flags)) & TF_WORK) || t->restore_blocked ||
	       wants_restart(f)) {
		irq_enable();
		if (flags & TF_USER_WORK) {
			atomic_fetch_and(&t->thread.flags, ~TF_USER_WORK);
			thread_set_affinity(&t->thread, t->thread.affinity);
		}
		if (flags & TF_CHECKPOINT)
			wait_for_checkpoint(t);
		if ((flags & TF_PARK) && !(flags & TF_KILLED))
			quiesce_park(); /* what is left to do here is done after a resume, too */
		if (flags & TF_RESCHED)
			sched_point();
		if ((flags & (TF_SIGNAL | TF_KILLED)) || t->restore_blocked || wants_restart(f))
			signal_deliver(f);
		irq_disable();
	}
	fpu_load(&t->thread);
}

const struct trap_ops proc_trap_ops = {
	.syscall = op_syscall,
	.page_fault = op_page_fault,
	.user_exception = op_user_exception,
	.timer = op_timer,
	.ipi = op_ipi,
	.irq = op_irq,
	.user_return = op_user_return,
};
