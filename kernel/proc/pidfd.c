/*
 * Descriptors of processes: readable when the process has ended. They hold a reference, so the
 * number they stand for is never another process's.
 *
 * Locks: the queue of pollers is guarded by processes->lock, under which a process ends.
 */
#include <asm/errno.h>

#include "file/persist.h"
#include "lib/format.h"
#include "proc/persist.h"
#include "proc/process.h"

static unsigned
pidfd_poll(struct file *f, struct poll_table *pt)
{
	struct process *p = f->private;
	unsigned events;

	spin_lock(&processes()->lock);
	poll_add(pt, &p->exit_wait, &processes()->lock);
	events = p->zombie ? POLL_IN | POLL_RDNORM : 0;
	spin_unlock(&processes()->lock);
	return events;
}

static void
pidfd_release(struct file *f)
{
	process_put(f->private);
}

static size_t
pidfd_info(struct file *f, char *buf, size_t size)
{
	const struct process *p = f->private;
	int pid = p->reaped ? -1 : p->pid;

	return (size_t)format(buf, size, "Pid:\t%d\nNSpid:\t%d\n", pid, pid);
}

static size_t
pidfd_name(struct file *f, char *buf, size_t size)
{
	return (size_t)format(buf, size, "anon_inode:[pidfd]");
}

/* --- the store --- */

enum { PIDFD_PROCESS = 1 };

static void
pidfd_save(struct persist_writer *w, struct file *f)
{
	persist_ref(w, PIDFD_PROCESS, &process_persist, f->private);
}

static u64
pidfd_version(struct persist_writer *w, u64 h, struct file *f)
{
	return persist_mix_ref(w, h, &process_persist, f->private);
}

static int
pidfd_link(struct persist_reader *r, const struct tag_reader *in, struct file *f)
{
	struct process *p = persist_get(r, in, PIDFD_PROCESS, &process_persist);

	if (!p)
		return -EBADMSG;
	process_get(p);
	f->private = p;
	return 0;
}

static const struct file_persist pidfd_persist = {
	.number = FILE_PIDFD,
	.save = pidfd_save,
	.version = pidfd_version,
	.link = pidfd_link,
};

static const struct file_ops pidfd_ops = {
	.kind = "pidfd",
	.poll = pidfd_poll,
	.release = pidfd_release,
	.fdinfo = pidfd_info,
	.name = pidfd_name,
	.persist = &pidfd_persist,
};

int
pidfd_create(struct process *p, unsigned flags, struct file **out)
{
	*out = file_create(&pidfd_ops, flags | 2 /* O_RDWR */, p);
	if (!*out)
		return -ENOMEM;
	process_get(p);
	return 0;
}

struct process *
pidfd_process(struct file *f)
{
	if (f->ops != &pidfd_ops)
		return NULL;
	process_get(f->private);
	return f->private;
}

void
pidfd_register(void)
{
	file_persist_register(&pidfd_ops);
}
