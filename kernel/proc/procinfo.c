/*
 * /proc/<pid>: what a process and its tasks show of themselves, in Linux's formats (man 5 proc).
 *
 * Each text is made anew when it is read, from a referenced process; the address space is
 * referenced for the time, so a process may exit meanwhile. Nothing here is cached.
 */
#include "proc/siginfo_uapi.h"
#include <asm/errno.h>
#include <linux/resource.h>

#include "arch/clock.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/info.h"

#define TICK 10000000L /* ns of 1/100 s */

void
text_add(struct text *t, const char *fmt, ...)
{
	size_t room = t->used < t->size ? t->size - t->used : 0;
	va_list ap;

	va_start(ap, fmt);
	t->used += (size_t)format_v(room ? t->buf + t->used : NULL, room, fmt, ap);
	va_end(ap);
}

/* --- who --- */

struct vm_map *
process_map_get(struct process *p)
{
	struct vm_map *m;

	spin_lock(&p->lock);
	m = p->map;
	if (m)
		vm_map_get(m);
	spin_unlock(&p->lock);
	return m;
}

char
task_state_letter(struct process *p, struct task *t)
{
	if (!t || p->zombie)
		return 'Z';
	if (p->stopped)
		return 'T';
	if (atomic_load(&t->thread.state) == THREAD_SLEEPING)
		return t->thread.wait_how & WAIT_INTERRUPTIBLE ? 'S' : 'D';
	return 'R';
}

static void
show_comm(struct text *x, struct process *p, struct task *t)
{
	text_add(x, "%s\n", t ? t->thread.name : p->comm);
}

static void
signal_sets(struct process *p, u64 *ignored, u64 *caught)
{
	*ignored = *caught = 0;
	for (int sig = 1; sig <= SIG_COUNT && p->handlers; sig++) {
		struct sigaction_k a = signal_action(p, sig);

		*ignored |= a.handler == 1 ? SIGBIT(sig) : 0;
		*caught |= a.handler > 1 ? SIGBIT(sig) : 0;
	}
}

static void
show_stat(struct text *x, struct process *p, struct task *t, struct vm_map *m)
{
	ns_t user = 0, system = 0;
	u64 ignored, caught;
	int ppid, tid = t ? t->thread.tid : p->pid;

	spin_lock(&processes()->lock);
	ppid = p->parent ? p->parent->pid : 0;
	spin_unlock(&processes()->lock);
	if (t && x->by_task)
		task_cpu_time(t, &user, &system);
	else
		process_cpu_time(p, &user, &system);
	text_add(x, "%d (%s) %c %d %d %d %d %d %u", tid, t ? t->thread.name : p->comm,
		 task_state_letter(p, t), ppid, p->pgrp, p->session, p->tty ? 1025 : 0,
		 p->tty ? p->pgrp : -1, 0u);
	text_add(x, " %lu 0 %lu 0 %ld %ld %ld %ld", m ? m->faults_minor : p->faults_minor,
		 m ? m->faults_major : p->faults_major, user / TICK, system / TICK,
		 p->children_user_ns / TICK, p->children_system_ns / TICK);
	text_add(x, " %d %d %u 0 %ld", 20 + (t ? t->thread.nice : 0), t ? t->thread.nice : 0,
		 p->ntasks, p->start_time / TICK);
	text_add(x, " %lu %lu %lu", m ? m->size_pages * PAGE_SIZE : 0,
		 m ? m->rss_anon + m->rss_file : 0, p->rlimit[RLIMIT_RSS].cur);
	signal_sets(p, &ignored, &caught);
	text_add(x, " 1 1 %lu 0 0 %lu %lu %lu %lu 0 0 0", m ? m->stack_top : 0, p->pending.set,
		 t ? t->blocked : 0, ignored, caught);
	text_add(x, " %d %u 0 %u 0 0 0", p->exit_signal, t ? t->thread.core->arch.index : 0,
		 t ? (unsigned)t->policy : 0);
	text_add(x, " 0 0 %lu %lu %lu %lu %lu %u\n", m ? m->brk_start : 0, m ? m->arg_start : 0,
		 m ? m->arg_end : 0, m ? m->env_start : 0, m ? m->env_end : 0, p->exit_code);
}

static const char *
state_name(char letter)
{
	return letter == 'R'   ? "running"
	       : letter == 'S' ? "sleeping"
	       : letter == 'D' ? "disk sleep"
	       : letter == 'T' ? "stopped"
			       : "zombie";
}

static void
show_memory_status(struct text *x, struct vm_map *m)
{
	u64 rss = m->rss_anon + m->rss_file, peak = vm_map_peak(m), kb = PAGE_SIZE / 1024;

	text_add(x, "VmPeak:\t%8lu kB\nVmSize:\t%8lu kB\nVmLck:\t%8u kB\nVmPin:\t%8u kB\n",
		 m->size_pages * kb, m->size_pages * kb, 0, 0);
	text_add(x,
		 "VmHWM:\t%8lu kB\nVmRSS:\t%8lu kB\nRssAnon:\t%8lu kB\nRssFile:\t%8lu kB\n"
		 "RssShmem:\t%8u kB\n",
		 peak * kb, rss * kb, m->rss_anon * kb, m->rss_file * kb, 0);
	text_add(x, "VmData:\t%8lu kB\nVmStk:\t%8lu kB\nVmSwap:\t%8u kB\n", m->committed_pages * kb,
		 132UL, 0);
}

static void
show_signals(struct text *x, struct process *p, struct task *t)
{
	u64 ignored, caught;

	signal_sets(p, &ignored, &caught);
	text_add(x,
		 "SigQ:\t%u/%lu\nSigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\n"
		 "SigIgn:\t%016lx\nSigCgt:\t%016lx\n",
		 p->pending.count, p->rlimit[RLIMIT_SIGPENDING].cur, t ? t->pending.set : 0,
		 p->pending.set, t ? t->blocked : 0, ignored, caught);
}

/* A set of cores or nodes: in hexadecimal, and as ranges ("0-3,5"). */
static void
show_mask(struct text *x, const char *name, u64 mask)
{
	const char *comma = "";

	text_add(x, "%s:\t%lx\n%s_list:\t", name, mask, name);
	for (unsigned i = 0, last; i < 64; i = last + 1) {
		for (last = i; last < 63 && (mask >> i & 1) && (mask >> (last + 1) & 1);)
			last++;
		if (!(mask >> i & 1))
			continue;
		text_add(x, last > i ? "%s%u-%u" : "%s%u", comma, i, last);
		comma = ",";
	}
	text_add(x, "\n");
}

static void
show_status(struct text *x, struct process *p, struct task *t, struct vm_map *m)
{
	const struct credentials *c = &p->cred;
	u64 caps = c->euid == 0 ? (1UL << 41) - 1 : 0;
	u64 cores = machine()->ncores >= 64 ? ~0UL : (1UL << machine()->ncores) - 1;
	u64 allowed = (t ? t->thread.affinity : ~0UL) & cores;
	char state = task_state_letter(p, t);
	u32 umask;
	int ppid;

	spin_lock(&processes()->lock);
	ppid = p->parent ? p->parent->pid : 0;
	spin_unlock(&processes()->lock);
	spin_lock(&p->lock);
	umask = p->fs ? fs_context_umask(p->fs) : 0;
	spin_unlock(&p->lock);
	text_add(x,
		 "Name:\t%s\nUmask:\t%04o\nState:\t%c (%s)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\n"
		 "PPid:\t%d\nTracerPid:\t0\n",
		 t ? t->thread.name : p->comm, umask, state, state_name(state), p->pid,
		 t ? t->thread.tid : p->pid, ppid);
	text_add(x, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nFDSize:\t64\nGroups:\t", c->uid,
		 c->euid, c->suid, c->fsuid, c->gid, c->egid, c->sgid, c->fsgid);
	for (u32 i = 0; i < c->ngroups; i++)
		text_add(x, "%u ", c->groups[i]);
	text_add(x, "\n");
	if (m)
		show_memory_status(x, m);
	text_add(x, "Threads:\t%u\n", p->ntasks);
	show_signals(x, p, t);
	text_add(x,
		 "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t%016lx\n"
		 "CapAmb:\t%016lx\nNoNewPrivs:\t%d\nSeccomp:\t0\n",
		 0UL, caps, caps, (1UL << 41) - 1, 0UL, p->no_new_privs);
	show_mask(x, "Cpus_allowed", allowed);
	show_mask(x, "Mems_allowed", (1UL << machine()->nclusters) - 1);
	text_add(x, "voluntary_ctxt_switches:\t%lu\nnonvoluntary_ctxt_switches:\t%lu\n",
		 t ? t->thread.switches_voluntary : p->dead_voluntary,
		 t ? t->thread.switches_forced : p->dead_forced);
}

static void
show_statm(struct text *x, struct vm_map *m)
{
	if (!m) {
		text_add(x, "0 0 0 0 0 0 0\n");
		return;
	}
	text_add(x, "%lu %lu %lu 0 0 %lu 0\n", m->size_pages, m->rss_anon + m->rss_file,
		 m->rss_file, m->committed_pages);
}

/* Bytes of another address space as they are: argv, environ. */
static void
show_memory(struct text *x, struct vm_map *m, vaddr_t from, vaddr_t to)
{
	size_t n = m && to > from ? to - from : 0;
	ssize_t got;

	if (n > 0 && x->size > 0) {
		got = vm_map_copy(m, from, x->buf, min(n, x->size), false);
		if (got < 0)
			n = 0;
	}
	x->used = n;
}

static void
show_auxv(struct text *x, struct process *p)
{
	size_t n = p->auxv_words * sizeof(u64);

	memcpy(x->buf, p->auxv, min(n, x->size));
	x->used = n;
}

static void
show_limits(struct text *x, struct process *p)
{
	static const struct {
		const char *name, *unit;
	} rows[PROC_RLIMITS] = {
		[RLIMIT_CPU] = {"Max cpu time", "seconds"},
		[RLIMIT_FSIZE] = {"Max file size", "bytes"},
		[RLIMIT_DATA] = {"Max data size", "bytes"},
		[RLIMIT_STACK] = {"Max stack size", "bytes"},
		[RLIMIT_CORE] = {"Max core file size", "bytes"},
		[RLIMIT_RSS] = {"Max resident set", "bytes"},
		[RLIMIT_NPROC] = {"Max processes", "processes"},
		[RLIMIT_NOFILE] = {"Max open files", "files"},
		[RLIMIT_MEMLOCK] = {"Max locked memory", "bytes"},
		[RLIMIT_AS] = {"Max address space", "bytes"},
		[RLIMIT_LOCKS] = {"Max file locks", "locks"},
		[RLIMIT_SIGPENDING] = {"Max pending signals", "signals"},
		[RLIMIT_MSGQUEUE] = {"Max msgqueue size", "bytes"},
		[RLIMIT_NICE] = {"Max nice priority", ""},
		[RLIMIT_RTPRIO] = {"Max realtime priority", ""},
		[RLIMIT_RTTIME] = {"Max realtime timeout", "us"},
	};
	char cur[24], most[24];

	text_add(x, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (int i = 0; i < PROC_RLIMITS; i++) {
		format(cur, sizeof(cur), p->rlimit[i].cur == ~0UL ? "unlimited" : "%lu",
		       p->rlimit[i].cur);
		format(most, sizeof(most), p->rlimit[i].max == ~0UL ? "unlimited" : "%lu",
		       p->rlimit[i].max);
		text_add(x, "%-25s %-20s %-20s %-10s\n", rows[i].name, cur, most, rows[i].unit);
	}
}

static void
show_io(struct text *x, struct process *p)
{
	text_add(x,
		 "rchar: %lu\nwchar: %lu\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\n"
		 "cancelled_write_bytes: 0\n",
		 p->io_read_bytes, p->io_write_bytes);
}

/* --- which --- */

static bool
show_process(struct text *x, struct process *p, struct task *t, const char *what)
{
	if (strcmp(what, "comm") == 0)
		show_comm(x, p, t);
	else if (strcmp(what, "auxv") == 0)
		show_auxv(x, p);
	else if (strcmp(what, "limits") == 0)
		show_limits(x, p);
	else if (strcmp(what, "io") == 0)
		show_io(x, p);
	else if (strcmp(what, "cgroup") == 0)
		text_add(x, "0::/\n");
	else if (strcmp(what, "oom_score_adj") == 0)
		text_add(x, "%d\n", p->oom_score_adj);
	else if (strcmp(what, "oom_score") == 0)
		text_add(x, "0\n");
	else if (strcmp(what, "wchan") == 0)
		text_add(x, "0");
	else if (strcmp(what, "personality") == 0)
		text_add(x, "%08x\n", p->personality);
	else
		return false;
	return true;
}

static bool
show_space(struct text *x, struct process *p, struct task *t, struct vm_map *m, const char *what)
{
	if (strcmp(what, "stat") == 0)
		show_stat(x, p, t, m);
	else if (strcmp(what, "status") == 0)
		show_status(x, p, t, m);
	else if (strcmp(what, "statm") == 0)
		show_statm(x, m);
	else if (strcmp(what, "cmdline") == 0)
		show_memory(x, m, m ? m->arg_start : 0, m ? m->arg_end : 0);
	else if (strcmp(what, "environ") == 0)
		show_memory(x, m, m ? m->env_start : 0, m ? m->env_end : 0);
	else if (strcmp(what, "maps") == 0)
		info_show_maps(x, m, false);
	else if (strcmp(what, "smaps") == 0)
		info_show_maps(x, m, true);
	else if (strcmp(what, "smaps_rollup") == 0)
		info_show_rollup(x, m);
	else
		return false;
	return true;
}

static ssize_t
op_show(int pid, int tid, const char *what, char *buf, size_t size)
{
	struct text x = {.buf = buf, .size = size, .by_task = tid > 0 && tid != pid};
	struct process *p = process_find(pid);
	struct task *t;
	struct vm_map *m;
	ssize_t result;

	if (!p)
		return -ESRCH;
	t = task_find(tid > 0 ? tid : pid);
	m = process_map_get(p);
	if (show_process(&x, p, t, what) || show_space(&x, p, t, m, what))
		result = (ssize_t)x.used;
	else
		result = -ENOENT;
	if (m)
		vm_map_put(m);
	task_put(t);
	process_put(p);
	return result;
}

static ssize_t
op_store(int pid, int tid, const char *what, const char *buf, size_t n)
{
	struct process *p = process_find(pid);
	ssize_t result = (ssize_t)n;
	int v = 0, sign = 1;
	struct task *t;

	if (!p)
		return -ESRCH;
	t = task_find(tid > 0 ? tid : pid);
	if (p != current_process() && !process_privileged()) {
		result = -EPERM;
	} else if (strcmp(what, "comm") == 0 && t) {
		char name[16] = {0};

		memcpy(name, buf, min(n, sizeof(name) - 1));
		if (strchr(name, '\n'))
			*strchr(name, '\n') = 0;
		memcpy(t->thread.name, name, sizeof(name));
		if (t->thread.tid == p->pid)
			memcpy(p->comm, name, sizeof(name));
	} else if (strcmp(what, "clear_refs") == 0) {
		struct vm_map *m = process_map_get(p);
		int err = m ? info_clear_refs(m, buf) : 0;

		if (m)
			vm_map_put(m);
		result = err ? err : result;
	} else if (strcmp(what, "oom_score_adj") == 0) {
		size_t i = n > 0 && buf[0] == '-' ? (sign = -1, 1) : 0;

		for (; i < n && buf[i] >= '0' && buf[i] <= '9' && v < 10000; i++)
			v = v * 10 + (buf[i] - '0');
		if (v > 1000)
			result = -EINVAL;
		else
			p->oom_score_adj = sign * v;
	} else {
		result = -EACCES;
	}
	task_put(t);
	process_put(p);
	return result;
}

/* --- lists --- */

static int
next_number(int after, bool (*fits)(const struct pid *pid, int of), int of)
{
	struct processes *ps = processes();
	struct rb_node *n;
	int best = -1;

	spin_lock(&ps->lock);
	n = ps->pids.root;
	while (n) { /* the lowest number above `after`; then on in order */
		struct pid *pid = rb_entry(n, struct pid, node);

		if (pid->nr > after) {
			best = pid->nr;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	for (n = best > 0 ? &pid_lookup(best)->node : NULL, best = -1; n; n = rb_next(n)) {
		struct pid *pid = rb_entry(n, struct pid, node);

		if (fits(pid, of)) {
			best = pid->nr;
			break;
		}
	}
	spin_unlock(&ps->lock);
	return best;
}

static bool
is_process(const struct pid *pid, int of)
{
	return pid->process != NULL;
}

static bool
is_task_of(const struct pid *pid, int of)
{
	return pid->task && pid->task->process->pid == of;
}

static int
op_next_pid(int after)
{
	return next_number(after, is_process, 0);
}

static int
op_next_tid(int pid, int after)
{
	return next_number(after, is_task_of, pid);
}

static bool
op_exists(int pid)
{
	struct process *p = process_find(pid);

	process_put(p);
	return p != NULL;
}

static u32
op_threads(int pid)
{
	struct process *p = process_find(pid);
	u32 n = p ? p->ntasks : 0;

	process_put(p);
	return n;
}

static u32
op_all_threads(void)
{
	return (u32)atomic_load_relaxed(&processes()->tasks);
}

static int
op_last_pid(void)
{
	return atomic_load_relaxed(&processes()->last_pid);
}

static int
op_self(void)
{
	return current_thread()->process ? current_process()->pid : -ENOENT;
}

static int
op_self_tid(void)
{
	return current_thread()->process ? current_thread()->tid : -ENOENT;
}

static bool
op_owner(int pid, u32 *uid, u32 *gid)
{
	struct process *p = process_find(pid);
	bool theirs;

	*uid = *gid = 0;
	if (!p)
		return false;
	*uid = p->cred.euid;
	*gid = p->cred.egid;
	theirs = p->dumpable || p == current_thread()->process;
	process_put(p);
	return theirs;
}

/* The kernel itself looks when it opens again what was open before a power cut. */
static bool
op_may_look(int pid)
{
	struct process *p = current_thread()->process ? process_find(pid) : NULL;
	const struct credentials *me, *c;
	bool may;

	if (!p)
		return true; /* then there is nothing to see */
	me = &current_process()->cred;
	c = &p->cred;
	may = p == current_process() || process_privileged() ||
	      (p->dumpable && me->fsuid == c->uid && me->fsuid == c->euid && me->fsuid == c->suid &&
	       me->fsgid == c->gid && me->fsgid == c->egid && me->fsgid == c->sgid);
	process_put(p);
	return may;
}

static struct fdtable *
op_fdtable(int pid)
{
	struct process *p = process_find(pid);
	struct fdtable *files = NULL;

	if (!p)
		return NULL;
	spin_lock(&p->lock);
	files = p->files;
	if (files)
		fdtable_get(files);
	spin_unlock(&p->lock);
	process_put(p);
	return files;
}

static int
op_link(int pid, const char *what, struct dentry **out)
{
	struct process *p = process_find(pid);
	struct fs_context *fs = NULL;
	struct dentry *root, *cwd;
	int err = -ENOENT;

	if (!p)
		return -ESRCH;
	spin_lock(&p->lock);
	if (strcmp(what, "exe") == 0 && p->exe) {
		*out = p->exe;
		dentry_get(*out);
		err = 0;
	} else if (strcmp(what, "exe") != 0 && p->fs) {
		fs = p->fs;
		fs_context_get(fs);
	}
	spin_unlock(&p->lock);
	if (fs && fs_context_paths(fs, &root, &cwd) == 0) {
		bool wants_root = strcmp(what, "root") == 0;

		*out = wants_root ? root : cwd;
		dentry_put(wants_root ? cwd : root);
		err = 0;
	}
	if (fs)
		fs_context_put(fs);
	process_put(p);
	return err;
}

static const struct procfs_process_ops process_ops = {
	.next_pid = op_next_pid,
	.exists = op_exists,
	.next_tid = op_next_tid,
	.threads = op_threads,
	.all_threads = op_all_threads,
	.last_pid = op_last_pid,
	.self = op_self,
	.self_tid = op_self_tid,
	.owner = op_owner,
	.may_look = op_may_look,
	.show = op_show,
	.fdtable = op_fdtable,
	.link = op_link,
	.store = op_store,
};

void
procinfo_init(void)
{
	procfs_set_process_ops(&process_ops);
	info_add_tunables();
}
