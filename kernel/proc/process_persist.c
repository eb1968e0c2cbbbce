/*
 * Processes in the store: what their threads share, their place in the tree, zombies too. The table
 * of numbers is made again from the numbers that processes and tasks have.
 */
#include <asm/errno.h>
#include <asm/signal.h>

#include "core/klog.h"
#include "dev/power.h"
#include "dev/tty.h"
#include "file/persist.h"
#include "lib/hash.h"
#include "lib/string.h"
#include "mm/cut.h"
#include "proc/persist.h"
#include "proc/process.h"
#include "proc/record.h"
#include "proc/timers.h"

enum { S_HOST = 1, S_DOMAIN = 2, S_LAST_PID = 3, S_PID_MAX = 4, S_FORKS = 5, S_VDSO_SEQ = 6 };

#define CRED_WORDS (9 + 32)

/* --- the system's part --- */

void
processes_save(struct persist_writer *w, u16 tag)
{
	const struct processes *ps = processes();
	size_t group = tag_begin(&w->tags, tag);

	tag_string(&w->tags, S_HOST, ps->hostname);
	tag_string(&w->tags, S_DOMAIN, ps->domainname);
	tag_u64(&w->tags, S_LAST_PID, (u64)ps->last_pid);
	tag_u64(&w->tags, S_PID_MAX, (u64)ps->pid_max);
	tag_u64(&w->tags, S_FORKS, ps->forks);
	tag_u64(&w->tags, S_VDSO_SEQ, vdso_sequence());
	tag_end(&w->tags, group);
}

int
processes_load(struct persist_reader *r, u16 tag)
{
	struct processes *ps = processes();
	struct tag_field f = {0};
	struct tag_reader in;

	if (!tag_next(&r->tags, tag, &f))
		return -EBADMSG;
	in = tag_group(&f);
	if (!tag_get_string(&in, S_HOST, ps->hostname, sizeof(ps->hostname)) ||
	    !tag_get_string(&in, S_DOMAIN, ps->domainname, sizeof(ps->domainname)))
		return -EBADMSG;
	ps->last_pid = (int)tag_get_u64(&in, S_LAST_PID, 1);
	ps->pid_max = (int)tag_get_u64(&in, S_PID_MAX, (u64)ps->pid_max);
	ps->forks = tag_get_u64(&in, S_FORKS, 0);
	ps->vdso_seq = (u32)tag_get_u64(&in, S_VDSO_SEQ, 0);
	return 0;
}

/* --- writing --- */

static u64
flags_of(const struct process *p)
{
	return (p->exiting ? F_EXITING : 0) | (p->zombie ? F_ZOMBIE : 0) |
	       (p->stopped ? F_STOPPED : 0) | (p->continued ? F_CONTINUED : 0) |
	       (p->stop_reported ? F_STOP_REPORTED : 0) |
	       (p->continue_untold ? F_CONTINUE_UNTOLD : 0) | (p->vfork_done ? F_VFORK_DONE : 0) |
	       (p->dumpable ? F_DUMPABLE : 0) | (p->subreaper ? F_SUBREAPER : 0) |
	       (p->did_exec ? F_DID_EXEC : 0) | (p->no_new_privs ? F_NO_NEW_PRIVS : 0) |
	       (p->keep_caps ? F_KEEP_CAPS : 0) | (p->files_shared ? F_FILES_SHARED : 0) |
	       (p->reaped ? F_REAPED : 0);
}

static void
save_credentials(struct tag_writer *w, const struct credentials *c)
{
	u64 word[CRED_WORDS] = {c->uid,	 c->euid, c->suid,  c->fsuid,  c->gid,
				c->egid, c->sgid, c->fsgid, c->ngroups};

	for (u32 i = 0; i < c->ngroups; i++)
		word[9 + i] = c->groups[i];
	tag_words(w, P_CRED, word, 9 + c->ngroups);
}

_Static_assert(sizeof(struct rlimit_pair) == 2 * sizeof(u64), "limits are words");

static void
save_numbers(struct tag_writer *w, const struct process *p)
{
	const u64 pid = (u64)p->pid, flags = flags_of(p);
	const u64 group[] = {(u64)p->pgrp, (u64)p->session};
	const u64 status[] = {p->exit_code, p->stop_signal, (u64)p->exit_signal,
			      (u64)p->pdeath_signal};
	const u64 times[] = {(u64)p->start_time, (u64)p->dead_user_ns, (u64)p->dead_system_ns,
			     (u64)p->children_user_ns, (u64)p->children_system_ns};
	const struct vm_map *m = p->map;
	const u64 counts[] = {p->dead_voluntary,
			      p->dead_forced,
			      p->children_max_rss,
			      m ? vm_map_peak(m) : p->max_rss,
			      m ? m->faults_minor : p->faults_minor,
			      m ? m->faults_major : p->faults_major,
			      p->io_read_bytes,
			      p->io_write_bytes};
	const u64 misc[] = {p->personality, (u64)p->oom_score_adj};
	const struct tag_row row[] = {
		{P_PID, 1, &pid},
		{P_GROUP, ARRAY_SIZE(group), group},
		{P_FLAGS, 1, &flags},
		{P_STATUS, ARRAY_SIZE(status), status},
		{P_RLIMIT, PROC_RLIMITS * 2, &p->rlimit[0].cur},
		{P_AUXV, (u16)p->auxv_words, p->auxv},
		{P_TIMES, ARRAY_SIZE(times), times},
		{P_COUNTS, ARRAY_SIZE(counts), counts},
		{P_MISC, ARRAY_SIZE(misc), misc},
	};

	tag_rows(w, row, ARRAY_SIZE(row));
	tag_string(w, P_COMM, p->comm);
}

/* What a process refers to once. */
struct reference {
	u16 tag;
	const struct persist_kind *kind;
	void *object; /* NULL: none */
};

#define REFERENCES 4

static void
list_references(struct reference out[REFERENCES], const struct process *p)
{
	out[0] = (struct reference){P_MAP, &vm_map_persist, p->map};
	out[1] = (struct reference){P_FILES, &fdtable_persist, p->files};
	out[2] = (struct reference){P_FS, &fs_context_persist, p->fs};
	out[3] = (struct reference){P_HANDLERS, &sighandlers_persist, p->handlers};
}

static bool
has_timers(const struct process *p)
{
	return p->itimers || p->next_timer_id || !list_empty(&p->posix_timers);
}

/* All of the process that lies there as such is told by its bytes; some more than is written. */
static u64
mix_numbers(u64 h, const struct process *p)
{
	const size_t from = offsetof(struct process, exit_code);
	const struct vm_map *m = p->map;

	h = persist_mix(
		h, hash64((const char *)p + from, offsetof(struct process, persistent) - from));
	h = persist_mix(h, (u64)p->pgrp << 32 | (u32)p->session);
	h = persist_mix(h, p->files_shared);
	if (!m)
		return h;
	h = persist_mix(h, vm_map_peak(m));
	return persist_mix(persist_mix(h, m->faults_minor), m->faults_major);
}

static u64
mix_refs(struct persist_writer *w, u64 h, struct process *p)
{
	struct reference once[REFERENCES];
	struct process *c;
	struct task *t;

	list_references(once, p);
	for (unsigned i = 0; i < REFERENCES; i++)
		h = persist_mix_ref(w, h, once[i].kind, once[i].object);
	h = tty_mix_ref(w, h, p->tty);
	list_for_each_entry (t, &p->tasks, link)
		h = persist_mix_ref(w, h, &task_persist, t);
	h = persist_mix(h, 0); /* here one list ends */
	list_for_each_entry (c, &p->children, sibling)
		h = persist_mix_ref(w, h, &process_persist, c);
	return h;
}

/* Of one without timers and pending signals. */
static u64
process_version(struct persist_writer *w, void *object)
{
	struct process *p = object;
	u64 h;

	if (p->pending.set || !list_empty(&p->pending.infos) || has_timers(p))
		return 0;
	h = place_version_seen(w, mix_numbers((u64)p->pid, p), p->exe, &p->exe_place);
	return h ? mix_refs(w, h, p) : 0;
}

static void
process_save(struct persist_writer *w, void *object)
{
	struct process *p = object, *c;
	struct reference once[REFERENCES];
	struct task *t;

	list_references(once, p);
	save_numbers(&w->tags, p);
	save_credentials(&w->tags, &p->cred);
	sigqueue_save(&w->tags, P_PENDING, &p->pending);
	if (has_timers(p))
		timers_save(w, p);
	place_save(w, P_EXE, p->exe);
	for (unsigned i = 0; i < REFERENCES; i++)
		persist_ref(w, once[i].tag, once[i].kind, once[i].object);
	tty_save_ref(w, P_TTY, p->tty);
	list_for_each_entry (t, &p->tasks, link)
		persist_ref(w, P_TASK, &task_persist, t);
	list_for_each_entry (c, &p->children, sibling)
		persist_ref(w, P_CHILD, &process_persist, c);
}

/* --- reading --- */

static void
load_flags(struct process *p, u64 f)
{
	p->exiting = f & F_EXITING;
	p->zombie = f & F_ZOMBIE;
	p->stopped = f & F_STOPPED;
	p->continued = f & F_CONTINUED;
	p->stop_reported = f & F_STOP_REPORTED;
	p->continue_untold = f & F_CONTINUE_UNTOLD;
	p->vfork_done = f & F_VFORK_DONE;
	p->dumpable = f & F_DUMPABLE;
	p->subreaper = f & F_SUBREAPER;
	p->did_exec = f & F_DID_EXEC;
	p->no_new_privs = f & F_NO_NEW_PRIVS;
	p->keep_caps = f & F_KEEP_CAPS;
	p->files_shared = f & F_FILES_SHARED;
	p->reaped = f & F_REAPED;
}

static bool
load_credentials(const struct tag_reader *in, struct credentials *c)
{
	u64 word[CRED_WORDS];
	size_t n = tag_get_words(in, P_CRED, word, CRED_WORDS);

	if (n < 9 || word[8] != n - 9)
		return false;
	*c = (struct credentials){(u32)word[0], (u32)word[1], (u32)word[2], (u32)word[3],
				  (u32)word[4], (u32)word[5], (u32)word[6], (u32)word[7],
				  (u32)word[8], {0}};
	for (size_t i = 9; i < n; i++)
		c->groups[i - 9] = (u32)word[i];
	return true;
}

static void
load_counts(const struct tag_reader *in, struct process *p)
{
	u64 word[8];

	if (tag_get_words(in, P_TIMES, word, 5) == 5) {
		p->start_time = (ns_t)word[0];
		p->dead_user_ns = (ns_t)word[1];
		p->dead_system_ns = (ns_t)word[2];
		p->children_user_ns = (ns_t)word[3];
		p->children_system_ns = (ns_t)word[4];
	}
	if (tag_get_words(in, P_COUNTS, word, 8) == 8) {
		p->dead_voluntary = word[0];
		p->dead_forced = word[1];
		p->children_max_rss = word[2];
		p->max_rss = word[3];
		p->faults_minor = word[4];
		p->faults_major = word[5];
		p->io_read_bytes = word[6];
		p->io_write_bytes = word[7];
	}
}

/* Or none. */
static bool
is_signal(u64 n)
{
	return n <= SIG_COUNT;
}

static int
load_numbers(const struct tag_reader *in, struct process *p)
{
	u64 word[PROC_RLIMITS * 2];

	p->pid = (int)tag_get_u64(in, P_PID, 0);
	if (p->pid <= 0 || tag_get_words(in, P_GROUP, word, 2) != 2)
		return -EBADMSG;
	p->pgrp = (int)word[0];
	p->session = (int)word[1];
	load_flags(p, tag_get_u64(in, P_FLAGS, 0));
	if (tag_get_words(in, P_STATUS, word, 4) == 4) {
		p->exit_code = (u32)word[0];
		p->stop_signal = (u32)word[1];
		p->exit_signal = (int)word[2];
		p->pdeath_signal = (int)word[3];
	}
	if (!is_signal(p->stop_signal) || !is_signal(p->exit_signal) ||
	    !is_signal(p->pdeath_signal))
		return -EBADMSG;
	if (tag_get_words(in, P_RLIMIT, word, PROC_RLIMITS * 2) != PROC_RLIMITS * 2)
		return -EBADMSG;
	for (int i = 0; i < PROC_RLIMITS; i++)
		p->rlimit[i] = (struct rlimit_pair){word[2 * i], word[2 * i + 1]};
	(void)tag_get_string(in, P_COMM, p->comm, sizeof(p->comm));
	p->auxv_words = (u32)tag_get_words(in, P_AUXV, p->auxv, PROC_AUXV);
	load_counts(in, p);
	if (tag_get_words(in, P_MISC, word, 2) == 2) {
		p->personality = (u32)word[0];
		p->oom_score_adj = (int)word[1];
	}
	return load_credentials(in, &p->cred) ? 0 : -EBADMSG;
}

static int
process_make(struct persist_reader *r, void **out)
{
	struct process *p = process_create();
	int err;

	if (!p)
		return -ENOMEM;
	*out = p;
	err = load_numbers(&r->tags, p);
	return err ? err : sigqueue_load(&r->tags, P_PENDING, &p->pending);
}

/* Each process of a map has what the map counted; in older records the map has it itself. */
static void
link_map(struct process *p)
{
	struct vm_map *m = p->map;

	vm_map_get(m);
	m->max_rss = max(m->max_rss, p->max_rss);
	m->faults_minor = max(m->faults_minor, p->faults_minor);
	m->faults_major = max(m->faults_major, p->faults_major);
}

static int
link_parts(struct persist_reader *r, struct process *p)
{
	const struct tag_reader *in = &r->tags;
	int err;

	p->map = persist_get(r, in, P_MAP, &vm_map_persist);
	p->files = persist_get(r, in, P_FILES, &fdtable_persist);
	p->fs = persist_get(r, in, P_FS, &fs_context_persist);
	p->handlers = persist_get(r, in, P_HANDLERS, &sighandlers_persist);
	p->tty = tty_load_ref(r, in, P_TTY);
	if (!p->handlers || (!p->zombie && (!p->map || !p->files || !p->fs)) ||
	    (p->zombie && (p->map || p->files || p->fs)))
		return -EBADMSG;
	refcount_get(&p->handlers->refs);
	if (p->map)
		link_map(p);
	if (p->files)
		fdtable_get(p->files);
	if (p->fs)
		fs_context_get(p->fs);
	err = place_load(r, in, P_EXE, &p->exe);
	return err == -ENOENT ? 0 : err;
}

static int
process_link(struct persist_reader *r, void *object)
{
	struct process *p = object, *c;
	struct tag_field f = {0};
	struct task *t;
	int err = link_parts(r, p);

	if (!err)
		err = timers_load(r, p);
	/* A reaped one has its number no more, and is there for who has a pidfd of it. */
	if (!err && !p->reaped)
		err = pid_restore_process(p);
	while (!err && tag_next(&r->tags, P_CHILD, &f)) {
		c = persist_field(r, &f, &process_persist);
		if (!c || c->parent || c->reaped)
			return -EBADMSG;
		c->parent = p;
		list_add_tail(&p->children, &c->sibling);
	}
	f = (struct tag_field){0};
	while (!err && tag_next(&r->tags, P_TASK, &f)) {
		t = persist_field(r, &f, &task_persist);
		if (!t || !list_empty(&t->link))
			return -EBADMSG;
		list_add_tail(&p->tasks, &t->link);
		p->ntasks++;
	}
	p->nlive = p->ntasks; /* one that was about to end begins to end once more */
	if (!err && (p->zombie != (p->ntasks == 0) || (p->reaped && !p->zombie)))
		return -EBADMSG;
	return err;
}

static int
process_start(struct persist_reader *r, void *object)
{
	struct process *p = object;
	struct task *t;

	/* The dentry's vnode was linked after p, perhaps: only now is it there. */
	if (p->exe && vnode_write_deny(dentry_vnode(p->exe)))
		return -EBADMSG;
	timers_go_on(p);
	list_for_each_entry (t, &p->tasks, link)
		task_set_map(t, p->map);
	return 0;
}

static void
put_process(void *object)
{
	process_put(object);
}

/*
 * Members of struct process_itimers over a power cut:
 *	written	t
 */
/*
 * Members of struct itimer over a power cut:
 *	written	armed resting expires interval
 *	made	timer process which
 */
/*
 * Members of struct posix_timer over a power cut:
 *	written	task id clock event armed resting wall expires interval overrun
 *	made	link timer process task_tid
 */
/*
 * Members of struct process over a power cut:
 *	written	pid children pgrp session tty tasks map files files_shared fs handlers
 *		pending exit_code exiting zombie stopped continued stop_reported reaped
 *		continue_untold stop_signal exit_signal cred rlimit comm exe auxv
 *		auxv_words start_time dead_user_ns dead_system_ns dead_voluntary
 *		dead_forced children_user_ns children_system_ns children_max_rss max_rss
 *		faults_minor faults_major vfork_done posix_timers next_timer_id itimers
 *		pdeath_signal dumpable subreaper did_exec no_new_privs keep_caps
 *		personality oom_score_adj io_read_bytes io_write_bytes
 *	made	refs parent sibling group_link session_link all lock ntasks nlive
 *		tasks_wait execing child_wait signal_wait stop_wait exit_wait
 *		stop_dequeued vfork_wait timer_mutex exe_place persistent
 */
const struct persist_kind process_persist = {
	.name = "process",
	.number = RECORD_PROCESS,
	.member = offsetof(struct process, persistent),
	.save = process_save,
	.version = process_version,
	.make = process_make,
	.link = process_link,
	.start = process_start,
	.put = put_process,
};

/* --- going on --- */

static void
task_go_on(struct task *t)
{
	struct process *p = t->process;

	if (((t->pending.set | p->pending.set) & ~t->blocked) || p->stopped || p->continue_untold)
		t->thread.flags |= TF_SIGNAL;
	if (p->exiting)
		t->thread.flags |= TF_SIGNAL | TF_KILLED;
	thread_start(&t->thread);
}

int
processes_go_on(struct process *init)
{
	struct processes *ps = processes();
	struct process *p;
	struct task *t;

	if (!init || init->pid != 1)
		return -EBADMSG;
	ps->init = init;
	process_power_button();
	/* No task leaves a list yet: all park before user mode, and none ends. */
	list_for_each_entry (p, &ps->all, all)
		list_for_each_entry (t, &p->tasks, link)
			task_go_on(t);
	return 0;
}
