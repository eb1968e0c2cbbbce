/*
 * The first process: init, whose program the kernel image carries, with arguments and environment
 * from the command line and from the host (fw_cfg).
 *
 *	command line:  kernel options, K=V for the environment, "--", then the program and arguments
 *	fw_cfg:        opt/holdfast/env and opt/holdfast/argv (strings, each with a NUL),
 *	               opt/holdfast/hostname; they win over the command line
 *
 * init's argv is its own name and then the program to run; none means its default.
 */
#include "proc/siginfo_uapi.h"
#include <asm/errno.h>
#include <asm/signal.h>
#include <linux/fcntl.h>
#include <linux/resource.h>

#include "arch/trap.h"
#include "core/klog.h"
#include "core/panic.h"
#include "dev/fwcfg.h"
#include "dev/power.h"
#include "file/kinds.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/process.h"
#include "proc/timers.h"

#define FWCFG_ENV      "opt/holdfast/env"
#define FWCFG_ARGV     "opt/holdfast/argv"
#define FWCFG_HOSTNAME "opt/holdfast/hostname"
#define FWCFG_MAX      (256 * 1024)
#define VECTOR_FIRST   16
#define NOFILE_SOFT    65536
#define NOFILE_HARD    1048576

extern const u8 embed_init_start[], embed_init_end[];

struct vector {
	char **item;
	size_t used, room;
};

static int
push(struct vector *v, char *s)
{
	size_t room = v->room ? v->room * 2 : VECTOR_FIRST;
	char **item;

	if (v->used + 1 >= v->room) {
		item = krealloc(v->item, v->room * sizeof(char *), room * sizeof(char *));
		if (!item)
			return -ENOMEM;
		v->item = item;
		v->room = room;
	}
	v->item[v->used++] = s;
	v->item[v->used] = NULL;
	return 0;
}

/* The next word of a command line, in place; quotes keep blanks. NULL at the end. */
static char *
next_word(char **at)
{
	char *p = *at, *word, *out;
	bool quoted = false;

	while (*p == ' ' || *p == '\t' || *p == '\n')
		p++;
	if (!*p)
		return NULL;
	for (word = out = p; *p && (quoted || (*p != ' ' && *p != '\t' && *p != '\n')); p++) {
		if (*p == '"')
			quoted = !quoted;
		else
			*out++ = *p;
	}
	*at = *p ? p + 1 : p;
	*out = 0;
	return word;
}

/* A name that a shell could set. Others are options of the kernel. */
static bool
is_assignment(const char *s)
{
	const char *eq = strchr(s, '=');

	if (!eq || eq == s)
		return false;
	for (; s < eq; s++)
		if (!(*s == '_' || (*s >= 'A' && *s <= 'Z') || (*s >= 'a' && *s <= 'z') ||
		      (*s >= '0' && *s <= '9')))
			return false;
	return true;
}

static int
split_cmdline(char *line, struct vector *argv, struct vector *envp)
{
	bool args = false;
	char *word;
	int err = 0;

	while (!err && (word = next_word(&line)) != NULL) {
		if (args)
			err = push(argv, word);
		else if (strcmp(word, "--") == 0)
			args = true;
		else if (is_assignment(word))
			err = push(envp, word);
	}
	return err;
}

/* Strings of a blob. It stays allocated: they are init's until exec has copied them. */
static int
split_blob(const char *name, struct vector *v)
{
	s64 size = fwcfg_size(name);
	ssize_t n;
	char *blob;
	int err = 0;

	if (size <= 0)
		return 0;
	size = min(size, (s64)FWCFG_MAX);
	blob = kmalloc((size_t)size + 1);
	if (!blob)
		return -ENOMEM;
	n = fwcfg_read(name, blob, (size_t)size);
	if (n < 0) {
		kfree(blob);
		return 0;
	}
	blob[n] = 0;
	for (ssize_t at = 0; at < n && !err; at += (ssize_t)strlen(blob + at) + 1)
		err = push(v, blob + at);
	return err;
}

static int
make_vectors(struct vector *argv, struct vector *envp)
{
	struct vector host = {0};
	char *line = kstrdup(machine()->cmdline ? machine()->cmdline : "");
	int err;

	if (!line)
		return -ENOMEM;
	err = push(argv, "/sbin/init");
	if (!err)
		err = split_cmdline(line, argv, envp);
	if (!err)
		err = split_blob(FWCFG_ENV, envp);
	if (!err)
		err = split_blob(FWCFG_ARGV, &host);
	if (!err && host.used > 0) {
		argv->used = 1;
		argv->item[1] = NULL;
		for (size_t i = 0; i < host.used && !err; i++)
			err = push(argv, host.item[i]);
	}
	kfree(host.item);
	if (!err && !envp->item)
		err = push(envp, "HOLDFAST=1");
	return err;
}

static void
set_hostname(void)
{
	struct processes *ps = processes();
	ssize_t n = fwcfg_read(FWCFG_HOSTNAME, ps->hostname, sizeof(ps->hostname) - 1);

	if (n <= 0) {
		string_copy(ps->hostname, "holdfast", sizeof(ps->hostname));
		n = (ssize_t)strlen(ps->hostname);
	}
	ps->hostname[n] = 0;
	string_copy(ps->domainname, "(none)", sizeof(ps->domainname));
}

/* --- the process --- */

static void
default_limits(struct process *p)
{
	for (int i = 0; i < PROC_RLIMITS; i++)
		p->rlimit[i] = (struct rlimit_pair){~0UL, ~0UL};
	p->rlimit[RLIMIT_STACK].cur = 8UL << 20;
	p->rlimit[RLIMIT_CORE].cur = 0;
	p->rlimit[RLIMIT_NOFILE] = (struct rlimit_pair){NOFILE_SOFT, NOFILE_HARD};
	p->rlimit[RLIMIT_MSGQUEUE] = (struct rlimit_pair){819200, 819200};
	p->rlimit[RLIMIT_NICE] = (struct rlimit_pair){0, 0};
	p->rlimit[RLIMIT_RTPRIO] = (struct rlimit_pair){0, 0};
	p->rlimit[RLIMIT_MEMLOCK] = (struct rlimit_pair){64UL << 20, 64UL << 20};
	p->rlimit[RLIMIT_SIGPENDING] = (struct rlimit_pair){65536, 65536};
}

static int
open_init(struct file **out)
{
	size_t size = (size_t)(embed_init_end - embed_init_start);
	s64 at = 0;
	struct uio u;
	ssize_t n;
	int err = memfd_create_file("init", 0, out);

	if (err)
		return err;
	uio_kernel(&u, (void *)embed_init_start, size);
	n = file_write(*out, &u, &at);
	if (n == (ssize_t)size)
		return 0;
	file_put(*out);
	return n < 0 ? (int)n : -ENOMEM;
}

/* The first code of pid 1, in the kernel, as a process without an address space. */
static void
init_start(void *arg)
{
	struct task *t = arg;
	struct vector argv = {0}, envp = {0};
	struct file *f;
	int err = make_vectors(&argv, &envp);

	if (!err)
		err = open_init(&f);
	if (err)
		panic("no memory to start init");
	err = exec_open(f, "/sbin/init", argv.item, envp.item, false);
	if (err)
		panic("init cannot be started: error %d", err);
	file_put(f);
	kfree(argv.item);
	kfree(envp.item);
	trap_enter_user(t->thread.frame);
}

static struct process *
make_init_process(void)
{
	struct process *p = process_create();

	if (!p)
		return NULL;
	default_limits(p);
	string_copy(p->comm, "init", sizeof(p->comm));
	p->handlers = sighandlers_create();
	p->files = fdtable_create();
	p->fs = fs_context_create();
	p->vfork_done = true;
	if (!p->handlers || !p->files || !p->fs)
		return NULL; /* the boot ends here anyway */
	fdtable_set_limit(p->files, NOFILE_SOFT);
	return p;
}

/* The power button asks init to end what it runs. */
static void
power_button(void)
{
	struct siginfo_k info;

	signal_info_kernel(&info, SIGTERM);
	(void)signal_send_process(processes()->init, SIGTERM, &info);
}

void
process_power_button(void)
{
	power_set_button(power_button);
}

int
process_start_init(void)
{
	struct processes *ps = processes();
	struct process *p;
	struct task *t;
	struct pid *pid;
	int err;

	set_hostname();
	p = make_init_process();
	t = p ? task_create(p, init_start) : NULL;
	pid = pid_alloc(&err);
	if (!t || !pid)
		return -ENOMEM;
	spin_lock(&ps->lock);
	p->pgrp = p->session = pid->nr;
	list_add_tail(&pid->group, &p->group_link);
	list_add_tail(&pid->session, &p->session_link);
	task_enter(t, pid, true);
	ps->init = p;
	spin_unlock(&ps->lock);
	process_power_button();
	thread_start(&t->thread);
	process_put(p);
	return 0;
}

/* --- /dev/holdfast-control: one line for the host --- */

static ssize_t
control_write(struct file *f, struct uio *u, u64 *pos)
{
	char line[128];
	size_t n = u->resid, taken = uio_copy_in(u, line, min(n, sizeof(line) - 1));

	if (u->fault && taken == 0)
		return -EFAULT;
	while (taken > 0 && line[taken - 1] == '\n')
		taken--;
	for (size_t i = 0; i < taken; i++)
		if (line[i] < ' ' || line[i] > '~')
			return -EINVAL;
	line[taken] = 0;
	control_line("%s", line);
	return (ssize_t)n;
}

static const struct file_ops control_ops = {
	.kind = "control",
	.persist = &file_reopened,
	.write = control_write,
};

static int
control_open(struct vnode *v, struct file *f)
{
	f->ops = &control_ops;
	return 0;
}

void
control_device_init(void)
{
	if (devfs_add("holdfast-control", 0600, 10, 200, control_open, NULL) < 0)
		klog(KLOG_WARN, "proc",
		     "no /dev/holdfast-control: the host will not learn the exit status");
}
