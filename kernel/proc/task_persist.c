/*
 * Tasks in the store. At the cut a task is at the boundary to user mode, with its registers in the
 * frame as they will be there, or asleep in a call, with the registers the call was made with. The
 * second goes on by issuing the call again (core/blocked.h).
 */
#include <asm/errno.h>

#include "arch/context.h"
#include "arch/cpu.h"
#include "arch/trap.h"
#include "core/blocked.h"
#include "core/core.h"
#include "lib/string.h"
#include "mm/kstack.h"
#include "mm/policy.h"
#include "mm/slab.h"
#include "proc/futex.h"
#include "proc/persist.h"
#include "proc/process.h"
#include "proc/trap.h"

enum {
	T_TID = 1,
	T_PROCESS = 2,
	T_NAME = 3,
	T_FRAME = 4,   /* r15 .. ss, in the order of struct trapframe */
	T_XCR0 = 5,    /* features in T_FPU */
	T_FPU = 6,     /* XSAVE's standard format */
	T_SEGMENT = 7, /* FS base, GS base */
	T_SCHED = 8,   /* nice, affinity, policy, timer slack */
	T_MEMORY = 9,  /* memory policy: mode, nodes, flags, interleave */
	T_MASK = 10,   /* blocked, saved_blocked, restore_blocked */
	T_PENDING = 11,
	T_USER = 12, /* clear_tid, robust_list, robust_len */
	T_ALTSTACK = 13,
	T_RESTART = 14, /* number of the function, deadline, arguments */
	T_CALL = 15,	/* asleep in a call: deadline of the sleep, notes */
	T_TIMES = 16,	/* user, system, switches */
	T_FAULT = 17,	/* address, vector, error: what a handler's frame will show */
	T_FUTEX = 18,
	T_CARRIED = 19,
};

#define FRAME_WORDS (sizeof(struct trapframe) / sizeof(u64))

/* --- writing --- */

static u64
restart_number(const struct restart_block *b)
{
	const struct linux_calls *lc = machine()->linux_calls;

	for (unsigned i = 0; i < LINUX_RESTARTS; i++)
		if (b->fn && b->fn == lc->restart[i])
			return i + 1;
	return 0;
}

static void
save_thread(struct tag_writer *w, const struct thread *th)
{
	const u64 tid = (u64)th->tid, xcr0 = fpu_features();
	const u64 segment[] = {th->fs_base, th->gs_base};
	const u64 memory[] = {th->policy.mode, th->policy.nodes, th->policy.flags, th->interleave};
	const u64 times[] = {(u64)th->user_ns, (u64)th->system_ns, th->switches_voluntary,
			     th->switches_forced};
	const u64 call[] = {th->wait_timer.pending ? (u64)th->wait_timer.expires : (u64)NS_FOREVER,
			    th->blocked.done, th->blocked.parts};
	const struct tag_row row[] = {
		{T_TID, 1, &tid},
		{T_FRAME, FRAME_WORDS, (const u64 *)th->frame},
		{T_XCR0, 1, &xcr0},
		{T_FPU, (u16)(fpu_area_size() / sizeof(u64)), th->fpu},
		{T_SEGMENT, ARRAY_SIZE(segment), segment},
		{T_MEMORY, ARRAY_SIZE(memory), memory},
		{T_TIMES, ARRAY_SIZE(times), times},
		{T_CALL, ARRAY_SIZE(call), call},
	};

	tag_string(w, T_NAME, th->name);
	tag_rows(w, row, ARRAY_SIZE(row) - (th->wait_how & WAIT_BOUNDARY ? 1 : 0));
	if (th->blocked.carried)
		tag_bytes(w, T_CARRIED, th->blocked.carried, th->blocked.carried_bytes);
}

/* What the thread itself changes it has changed only if it was switched away from since; else only
 * what others change counts. 0 in cases that are rare and have more to look at. */
static u64
task_version(struct persist_writer *w, void *object)
{
	const struct task *t = object;
	const struct thread *th = &t->thread;
	u64 version = th->switches_voluntary, name[2];

	_Static_assert(sizeof(name) == sizeof(th->name), "all of the name");
	if (t->pending.set || !list_empty(&t->pending.infos) || futex_saves(t))
		return 0;
	memcpy(name, th->name, sizeof(name));
	version = persist_mix(persist_mix(version, name[0]), name[1]);
	version = persist_mix(version, th->switches_forced);
	version = persist_mix(version, th->affinity);
	version = persist_mix(version, (u64)th->nice << 32 | (u32)t->policy);
	version = persist_mix(version, (u64)t->timer_slack_ns);
	version = persist_mix(version, (u64)th->wait_how << 1 | th->wait_timer.pending);
	version = persist_mix(version, (u64)th->wait_timer.expires);
	version = persist_mix(version, th->blocked.done);
	version = persist_mix(version, th->blocked.parts);
	version = persist_mix(version, (u64)th->blocked.carried);
	return persist_mix_ref(w, version, &process_persist, t->process);
}

static void
task_save(struct persist_writer *w, void *object)
{
	const struct task *t = object;
	const u64 sched[] = {(u64)t->thread.nice, t->thread.affinity, (u64)t->policy,
			     (u64)t->timer_slack_ns};
	const u64 mask[] = {t->blocked, t->saved_blocked, t->restore_blocked};
	const u64 user[] = {(u64)t->clear_tid, (u64)t->robust_list, t->robust_len};
	const u64 alt[] = {t->altstack_base, t->altstack_size, t->altstack_flags};
	const u64 restart[] = {restart_number(&t->restart), (u64)t->restart.deadline,
			       t->restart.arg[0],	    t->restart.arg[1],
			       t->restart.arg[2],	    t->restart.arg[3]};
	const u64 fault[] = {t->fault_addr, t->fault_vector, t->fault_error};
	const struct tag_row row[] = {
		{T_SCHED, ARRAY_SIZE(sched), sched},	   {T_MASK, ARRAY_SIZE(mask), mask},
		{T_USER, ARRAY_SIZE(user), user},	   {T_ALTSTACK, ARRAY_SIZE(alt), alt},
		{T_RESTART, ARRAY_SIZE(restart), restart}, {T_FAULT, ARRAY_SIZE(fault), fault},
	};

	save_thread(&w->tags, &t->thread);
	persist_ref(w, T_PROCESS, &process_persist, t->process);
	tag_rows(&w->tags, row, ARRAY_SIZE(row));
	sigqueue_save(&w->tags, T_PENDING, &t->pending);
	futex_save(w, T_FUTEX, t);
}

/* --- reading --- */

/* The first code of a task after a resume. */
static void
task_goes_on(void *arg)
{
	struct task *t = arg;

	if (t->thread.blocked.again) {
		machine()->dispatch(t->thread.frame);
		kfree((void *)t->thread.blocked.carried); /* the call had no use for it any more */
		t->thread.blocked = (struct blocked_call){.deadline = NS_FOREVER};
	}
	trap_enter_user(t->thread.frame);
}

/* A frame that would not lead to user mode, or with what no program may have, must not be
 * believed. */
static bool
frame_is_sound(const struct trapframe *f)
{
	return f->cs == SEL_UCODE && f->ss == SEL_UDATA && f->rip < USER_TOP &&
	       (f->rflags & ~RFLAGS_FROM_USER) == (RFLAGS_IF | 2);
}

/* What is loaded into registers, or used as an index, later. */
static bool
thread_is_sound(const struct thread *th)
{
	return th->tid > 0 && th->fs_base < USER_TOP && th->gs_base < USER_TOP && th->nice >= -20 &&
	       th->nice <= 19;
}

static int
load_registers(const struct tag_reader *in, struct thread *th)
{
	struct tag_field f = {0};

	if (!tag_get_bytes(in, T_FRAME, th->frame, sizeof(*th->frame)) ||
	    !frame_is_sound(th->frame))
		return -EBADMSG;
	if (!tag_next(in, T_FPU, &f))
		return -EBADMSG;
	/* The engine has refused a machine that lacks features; one with more has a larger area. */
	if (f.length > fpu_area_size())
		return -EBADMSG;
	memcpy(th->fpu, f.data, f.length);
	return fpu_area_sanitise(th->fpu, fpu_area_size()) ? -EBADMSG : 0;
}

static void
load_thread(const struct tag_reader *in, struct thread *th)
{
	u64 word[4] = {0}, all = machine()->ncores < 64 ? (1UL << machine()->ncores) - 1 : ~0UL;

	th->tid = (tid_t)tag_get_u64(in, T_TID, 0);
	(void)tag_get_string(in, T_NAME, th->name, sizeof(th->name));
	if (tag_get_words(in, T_SEGMENT, word, 2) == 2) {
		th->fs_base = word[0];
		th->gs_base = word[1];
	}
	if (tag_get_words(in, T_SCHED, word, 4) == 4) {
		th->nice = (int)word[0];
		th->affinity = word[1] & all ? word[1] : ~0UL; /* its cores are gone */
	}
	if (tag_get_words(in, T_MEMORY, word, 4) == 4) {
		th->policy = (struct mem_policy){(u8)word[0], (u8)word[1], (u16)word[2]};
		policy_fit(&th->policy);
		th->interleave = (u32)word[3];
	}
	if (tag_get_words(in, T_TIMES, word, 4) == 4) {
		th->user_ns = (ns_t)word[0];
		th->system_ns = (ns_t)word[1];
		th->switches_voluntary = word[2];
		th->switches_forced = word[3];
	}
}

static int
load_call(const struct tag_reader *in, struct blocked_call *b)
{
	struct tag_field f = {0};
	u64 word[3] = {0};
	void *bytes;

	*b = (struct blocked_call){.deadline = NS_FOREVER};
	if (tag_get_words(in, T_CALL, word, 3) < 2)
		return 0;
	*b = (struct blocked_call){
		.deadline = (ns_t)word[0], .done = word[1], .parts = word[2], .again = true};
	if (!tag_next(in, T_CARRIED, &f))
		return 0;
	bytes = kmalloc(f.length);
	if (!bytes)
		return -ENOMEM;
	memcpy(bytes, f.data, f.length);
	b->carried = bytes;
	b->carried_bytes = f.length;
	return 0;
}

static void
load_restart(const struct tag_reader *in, struct task *t)
{
	const struct linux_calls *lc = machine()->linux_calls;
	u64 word[6];

	if (tag_get_words(in, T_RESTART, word, 6) != 6 || word[0] < 1 || word[0] > LINUX_RESTARTS)
		return;
	t->restart.fn = lc->restart[word[0] - 1];
	t->restart.deadline = (ns_t)word[1];
	memcpy(t->restart.arg, word + 2, sizeof(t->restart.arg));
}

static int
task_make(struct persist_reader *r, void **out)
{
	struct task *t = task_alloc("task", task_goes_on);
	u64 word[4] = {0};
	int err;

	if (!t)
		return -ENOMEM;
	load_thread(&r->tags, &t->thread);
	load_restart(&r->tags, t);
	if (tag_get_words(&r->tags, T_SCHED, word, 4) == 4) {
		t->policy = (int)word[2];
		t->timer_slack_ns = (ns_t)word[3];
	}
	if (tag_get_words(&r->tags, T_MASK, word, 3) == 3) {
		t->blocked = word[0];
		t->saved_blocked = word[1];
		t->restore_blocked = word[2];
	}
	if (tag_get_words(&r->tags, T_USER, word, 3) == 3) {
		t->clear_tid = (int __user *)word[0];
		t->robust_list = (void __user *)word[1];
		t->robust_len = word[2];
	}
	if (tag_get_words(&r->tags, T_ALTSTACK, word, 3) == 3) {
		t->altstack_base = word[0];
		t->altstack_size = word[1];
		t->altstack_flags = (u32)word[2];
	}
	if (tag_get_words(&r->tags, T_FAULT, word, 3) == 3) {
		t->fault_addr = word[0];
		t->fault_vector = word[1];
		t->fault_error = word[2];
	}
	err = sigqueue_load(&r->tags, T_PENDING, &t->pending);
	if (!err)
		err = load_call(&r->tags, &t->thread.blocked);
	if (!err)
		err = thread_is_sound(&t->thread) ? load_registers(&r->tags, &t->thread) : -EBADMSG;
	*out = t; /* on an error the resume is over: nothing is given back */
	return err;
}

static int
task_link(struct persist_reader *r, void *object)
{
	struct task *t = object;
	struct process *p = persist_get(r, &r->tags, T_PROCESS, &process_persist);
	int err;

	if (!p)
		return -EBADMSG;
	process_get(p);
	t->process = p;
	t->thread.process = p;
	err = futex_load(r, T_FUTEX, t);
	return err ? err : pid_restore_task(t);
}

/* The reference of make is the task's own, until it is reaped. */
static void
task_keep(void *object)
{
}

/*
 * Members of struct task over a power cut:
 *	written	thread process blocked saved_blocked restore_blocked pending clear_tid
 *		robust_list robust_len altstack_base altstack_size altstack_flags
 *		restart timer_slack_ns policy fault_addr fault_vector fault_error
 *		futex
 *	made	refs link waiting_for set_child_tid exit_code fpu_memory pmap
 *		fault_errno futex_object futex_offset persistent
 */
/*
 * Members of struct thread over a power cut:
 *	written	frame fpu affinity nice user_ns system_ns switches_voluntary
 *		switches_forced policy interleave fs_base gs_base tid wait_how
 *		wait_timer name blocked
 *	made	rsp stack flags state on_rq core home fpu_core rq_node vruntime woke_at
 *		sleeps_after_wake run_since sampled_kernel pmap hint canary process ops
 *		waiting timed_out waited all entry arg locks_held
 */
const struct persist_kind task_persist = {
	.name = "task",
	.number = 49,
	.member = offsetof(struct task, persistent),
	.save = task_save,
	.version = task_version,
	.make = task_make,
	.link = task_link,
	.put = task_keep,
};
