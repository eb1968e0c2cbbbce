/*
 * The frame of a signal handler on the user's stack, in Linux's x86-64 layout, and the way back.
 *
 *	high  FP_XSTATE_MAGIC2
 *	      XSAVE area, standard format, 64-byte aligned; the software-reserved words of its first
 *	      512 bytes say how long it is and which components it has
 *	      siginfo (128 bytes)
 *	      ucontext: registers, mask, alternate stack
 *	low   return address: sa_restorer, which calls rt_sigreturn
 *
 * Everything that comes back by rt_sigreturn is made safe: flags, selectors, the FPU area's header.
 * A frame that cannot be read or makes no sense is a SIGSEGV.
 */
#include "proc/siginfo_uapi.h"
#include <asm/errno.h>
#include <asm/sigcontext.h>
#include <asm/signal.h>
#include <asm/ucontext.h>
#include <linux/signal.h>

#include "arch/context.h"
#include "arch/cpu.h"
#include "lib/string.h"
#include "mm/user.h"
#include "proc/process.h"
#include "proc/trap.h"

#define RED_ZONE    128
#define SW_RESERVED 464 /* in the FXSAVE area (SDM 1, 10.5.1) */
#define XSTATE_BV   512
#define FXSAVE_SIZE 512
#define RFLAGS_DF   0x400UL
#define RFLAGS_TF   0x100UL
#define RFLAGS_RF   0x10000UL

struct rt_sigframe {
	u64 return_address;
	struct ucontext uc;
	u8 info[128];
};

_Static_assert(sizeof(struct sigcontext) == 256, "struct sigcontext of x86-64");
_Static_assert(sizeof(struct ucontext) == 304, "struct ucontext of x86-64");
_Static_assert(sizeof(struct rt_sigframe) == 440, "struct rt_sigframe of x86-64");
_Static_assert(sizeof(struct _fpx_sw_bytes) == 48, "software-reserved bytes of FXSAVE");

/* --- siginfo_t --- */

static void
put32(u8 *out, unsigned at, u32 v)
{
	memcpy(out + at, &v, 4);
}

static void
put64(u8 *out, unsigned at, u64 v)
{
	memcpy(out + at, &v, 8);
}

static bool
is_fault(int sig)
{
	return sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE || sig == SIGTRAP;
}

void
siginfo_to_user(u8 out[128], const struct siginfo_k *i)
{
	memset(out, 0, 128);
	put32(out, 0, (u32)i->signo);
	put32(out, 4, (u32)i->err);
	put32(out, 8, (u32)i->code);
	if (i->code > 0 && i->code != SI_KERNEL && i->signo == SIGCHLD) {
		put32(out, 16, (u32)i->pid);
		put32(out, 20, i->uid);
		put32(out, 24, (u32)i->status);
		put64(out, 32, i->utime);
		put64(out, 40, i->stime);
	} else if (i->code > 0 && is_fault(i->signo)) {
		put64(out, 16, i->addr);
	} else if (i->code > 0 && i->signo == SIGIO) {
		put64(out, 16, (u64)(s64)i->band);
		put32(out, 24, (u32)i->fd);
	} else if (i->code == SI_TIMER) {
		put32(out, 16, (u32)i->timer_id);
		put32(out, 20, (u32)i->overrun);
		put64(out, 24, i->value);
	} else {
		put32(out, 16, (u32)i->pid);
		put32(out, 20, i->uid);
		put64(out, 24, i->value);
	}
}

void
siginfo_from_user(struct siginfo_k *i, const u8 in[128])
{
	*i = (struct siginfo_k){0};
	memcpy(&i->signo, in, 4);
	memcpy(&i->err, in + 4, 4);
	memcpy(&i->code, in + 8, 4);
	memcpy(&i->pid, in + 16, 4);
	memcpy(&i->uid, in + 20, 4);
	memcpy(&i->value, in + 24, 8);
}

/* --- setting up --- */

static size_t
xstate_size(void)
{
	return fpu_area_size();
}

u64
sigframe_min_stack(void)
{
	return ALIGN_UP(
		sizeof(struct rt_sigframe) + xstate_size() + FP_XSTATE_MAGIC2_SIZE + 64 + 16, 16);
}

static bool
on_altstack(const struct task *t, u64 sp)
{
	if (t->altstack_flags & SS_AUTODISARM)
		return false;
	return sp > t->altstack_base && sp - t->altstack_base <= t->altstack_size;
}

static void
fill_context(struct ucontext *uc, const struct trapframe *f, u64 mask, u64 fpstate)
{
	struct task *t = current_task();
	struct sigcontext *sc = &uc->uc_mcontext;

	memset(uc, 0, sizeof(*uc));
	uc->uc_flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
	uc->uc_stack.ss_sp = (void *)t->altstack_base;
	uc->uc_stack.ss_size = t->altstack_size;
	uc->uc_stack.ss_flags = (int)(t->altstack_size == 0    ? SS_DISABLE
				      : on_altstack(t, f->rsp) ? SS_ONSTACK
							       : t->altstack_flags);
	uc->uc_sigmask = mask;
	sc->r8 = f->r8, sc->r9 = f->r9, sc->r10 = f->r10, sc->r11 = f->r11;
	sc->r12 = f->r12, sc->r13 = f->r13, sc->r14 = f->r14, sc->r15 = f->r15;
	sc->rdi = f->rdi, sc->rsi = f->rsi, sc->rbp = f->rbp, sc->rbx = f->rbx;
	sc->rdx = f->rdx, sc->rax = f->rax, sc->rcx = f->rcx, sc->rsp = f->rsp;
	sc->rip = f->rip, sc->eflags = f->rflags;
	sc->cs = (u16)f->cs, sc->ss = (u16)f->ss;
	sc->err = t->fault_error;
	sc->trapno = t->fault_vector;
	sc->oldmask = mask;
	sc->cr2 = t->fault_addr;
	sc->fpstate = (struct _fpstate *)fpstate;
}

/* Writes the current FPU state to user memory at fp. 0 or -EFAULT. */
static int
write_fpstate(u64 fp)
{
	struct task *t = current_task();
	size_t size = xstate_size();
	u32 magic2 = FP_XSTATE_MAGIC2;
	struct _fpx_sw_bytes sw = {
		.magic1 = FP_XSTATE_MAGIC1,
		.extended_size = (u32)(size + FP_XSTATE_MAGIC2_SIZE),
		.xfeatures = fpu_features(),
		.xstate_size = (u32)size,
	};
	u64 bv;

	fpu_sync_current();
	memcpy(&bv, (u8 *)t->thread.fpu + XSTATE_BV, sizeof(bv));
	bv |= 3; /* the legacy parts are always there */
	if (copy_to_user((void __user *)fp, t->thread.fpu, size) ||
	    copy_to_user((void __user *)(fp + SW_RESERVED), &sw, sizeof(sw)) ||
	    copy_to_user((void __user *)(fp + XSTATE_BV), &bv, sizeof(bv)) ||
	    copy_to_user((void __user *)(fp + size), &magic2, sizeof(magic2)))
		return -EFAULT;
	return 0;
}

/* Where the frame goes; 0 when the alternate stack would overflow. */
static u64
place_frame(const struct trapframe *f, const struct sigaction_k *act, u64 *fp)
{
	struct task *t = current_task();
	u64 sp = f->rsp - RED_ZONE;
	bool nested = on_altstack(t, f->rsp);

	if ((act->flags & SA_ONSTACK) && t->altstack_size != 0 && !nested) {
		sp = t->altstack_base + t->altstack_size;
		nested = true;
	}
	*fp = ALIGN_DOWN(sp - xstate_size() - FP_XSTATE_MAGIC2_SIZE, 64);
	sp = ALIGN_DOWN(*fp - sizeof(struct rt_sigframe), 16) - 8;
	if (nested && t->altstack_size != 0 &&
	    (sp <= t->altstack_base || sp - t->altstack_base > t->altstack_size))
		return 0;
	return sp < USER_TOP ? sp : 0;
}

int
sigframe_setup(struct trapframe *f, int sig, const struct siginfo_k *info,
	       const struct sigaction_k *act, u64 mask)
{
	struct task *t = current_task();
	struct rt_sigframe frame;
	u64 fp, sp = place_frame(f, act, &fp);

	if (sp == 0 || !(act->flags & SA_RESTORER) || act->handler >= USER_TOP)
		return -EFAULT;
	if (write_fpstate(fp))
		return -EFAULT;
	frame.return_address = act->restorer;
	fill_context(&frame.uc, f, mask, fp);
	siginfo_to_user(frame.info, info);
	if (copy_to_user((void __user *)sp, &frame, sizeof(frame)))
		return -EFAULT;
	/* The handler starts with the modes of a new program. */
	fpu_drop_current();
	fpu_area_init(t->thread.fpu);
	if (t->altstack_flags & SS_AUTODISARM) {
		t->altstack_base = 0;
		t->altstack_size = 0;
		t->altstack_flags = SS_DISABLE;
	}
	fpu_drop_current(); /* the handler starts with default modes */
	fpu_area_init(t->thread.fpu);
	f->rdi = (u64)sig;
	f->rsi = sp + offsetof(struct rt_sigframe, info);
	f->rdx = sp + offsetof(struct rt_sigframe, uc);
	f->rax = 0;
	f->rip = act->handler;
	f->rsp = sp;
	f->rflags &= ~(RFLAGS_DF | RFLAGS_TF | RFLAGS_RF);
	f->cs = SEL_UCODE;
	f->ss = SEL_UDATA;
	return 0;
}

/* --- coming back --- */

/* How many bytes of XSAVE area the frame has: all of ours, or only the FXSAVE part. */
static size_t
fpstate_size(u64 fp)
{
	size_t ours = xstate_size();
	struct _fpx_sw_bytes sw;
	u32 magic2;

	if (copy_from_user(&sw, (void __user *)(fp + SW_RESERVED), sizeof(sw)))
		return 0;
	if (sw.magic1 != FP_XSTATE_MAGIC1 || sw.xstate_size < FXSAVE_SIZE + 64 ||
	    sw.xstate_size > ours || sw.xstate_size > sw.extended_size)
		return FXSAVE_SIZE;
	if (copy_from_user(&magic2, (void __user *)(fp + sw.xstate_size), sizeof(magic2)) ||
	    magic2 != FP_XSTATE_MAGIC2)
		return FXSAVE_SIZE;
	return sw.xstate_size;
}

static int
read_fpstate(u64 fp)
{
	struct task *t = current_task();
	u64 legacy = 3;
	size_t n;

	fpu_drop_current();
	fpu_area_init(t->thread.fpu);
	if (fp == 0)
		return 0;
	n = fpstate_size(fp);
	if (n == 0 || copy_from_user(t->thread.fpu, (void __user *)fp, n)) {
		fpu_area_init(t->thread.fpu);
		return -EFAULT;
	}
	if (n == FXSAVE_SIZE)
		memcpy((u8 *)t->thread.fpu + XSTATE_BV, &legacy, sizeof(legacy));
	return fpu_area_sanitise(t->thread.fpu, xstate_size());
}

static int
restore_registers(struct trapframe *f, const struct sigcontext *sc)
{
	if (sc->rip >= USER_TOP)
		return -EFAULT;
	f->r8 = sc->r8, f->r9 = sc->r9, f->r10 = sc->r10, f->r11 = sc->r11;
	f->r12 = sc->r12, f->r13 = sc->r13, f->r14 = sc->r14, f->r15 = sc->r15;
	f->rdi = sc->rdi, f->rsi = sc->rsi, f->rbp = sc->rbp, f->rbx = sc->rbx;
	f->rdx = sc->rdx, f->rax = sc->rax, f->rcx = sc->rcx, f->rsp = sc->rsp;
	f->rip = sc->rip;
	f->rflags = (sc->eflags & RFLAGS_FROM_USER) | RFLAGS_IF | 2;
	f->cs = SEL_UCODE;
	f->ss = SEL_UDATA;
	f->orig_rax = ~0UL; /* whatever RAX holds now, it is no result to restart on */
	return 0;
}

static void
restore_altstack(const stack_t *ss)
{
	struct task *t = current_task();

	if (on_altstack(t, t->thread.frame->rsp))
		return;
	if (ss->ss_flags & SS_DISABLE) {
		t->altstack_base = 0;
		t->altstack_size = 0;
		t->altstack_flags = SS_DISABLE;
	} else if (ss->ss_size >= sigframe_min_stack()) {
		t->altstack_base = (u64)ss->ss_sp;
		t->altstack_size = ss->ss_size;
		t->altstack_flags = (u32)ss->ss_flags & SS_AUTODISARM;
	}
}

long
sigframe_return(struct trapframe *f)
{
	struct siginfo_k info;
	struct ucontext uc;
	u64 base = f->rsp - 8; /* the handler's RET took the return address */

	if (copy_from_user(&uc, (void __user *)(base + offsetof(struct rt_sigframe, uc)),
			   sizeof(uc)))
		goto bad;
	if (read_fpstate((u64)uc.uc_mcontext.fpstate))
		goto bad;
	if (restore_registers(f, &uc.uc_mcontext))
		goto bad;
	signal_set_blocked(uc.uc_sigmask);
	restore_altstack(&uc.uc_stack);
	return (long)f->rax;
bad:
	signal_info_kernel(&info, SIGSEGV);
	signal_force(SIGSEGV, &info);
	f->orig_rax = ~0UL;
	return 0;
}
