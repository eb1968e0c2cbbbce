/*
 * /dev/holdfast: how programs learn that they were resumed, and ask for a checkpoint.
 *
 *	read	when there was a resume since the file was opened or read last, a line about the
 *		newest: "resumed epoch E outage_ms N cause power", filled up with blanks to LINE
 *		bytes, the newline included, so that who reads on until a buffer is full can say
 *		how long it is; waits for a resume
 *	poll	readable when there is one
 *	write	"checkpoint\n": returns when all that was done before is durable; "period MS\n"
 *
 * An open file remembers the number of resumes its reader knows of: f->private, [persist->lock].
 */
#include <asm/errno.h>
#include <asm/fcntl.h>

#include "core/klog.h"
#include "file/kinds.h"
#include "file/persist.h"
#include "lib/format.h"
#include "lib/string.h"
#include "persist/impl.h"

#define LINE	     64
#define WORDS_MAX    32
#define DEVICE_MAJOR 10
#define DEVICE_MINOR 201

enum { DEVICE_SEEN = 1 };

static u64
seen_by(const struct file *f)
{
	return (u64)f->private;
}

static ssize_t
device_read(struct file *f, struct uio *u, u64 *pos)
{
	struct persist *p = persist();
	char line[LINE + 1];
	size_t n;
	int err = 0;

	if (seen_by(f) >= p->resumes && (f->flags & O_NONBLOCK))
		return -EAGAIN;
	spin_lock(&p->lock);
	/* The next resume ends this wait: the call is issued again after it. */
	while (seen_by(f) >= p->resumes && !err)
		err = waitq_sleep(&p->resumed, &p->lock, NS_FOREVER, WAIT_INTERRUPTIBLE);
	if (!err)
		f->private = (void *)p->resumes;
	spin_unlock(&p->lock);
	if (err)
		return err;
	n = (size_t)format(line, sizeof(line), "resumed epoch %lu outage_ms %lld cause power",
			   p->resumed_epoch, p->outage_ns / NS_PER_MS);
	for (; n < LINE - 1; n++)
		line[n] = ' ';
	line[LINE - 1] = '\n';
	n = min((size_t)LINE, u->resid);
	return uio_copy_out(u, line, n) == n ? (ssize_t)n : -EFAULT;
}

static ssize_t
device_write(struct file *f, struct uio *u, u64 *pos)
{
	char line[WORDS_MAX];
	size_t n = u->resid, taken = uio_copy_in(u, line, min(n, sizeof(line) - 1));
	u64 epoch;
	int err;

	if (u->fault && taken == 0)
		return -EFAULT;
	line[taken] = 0;
	if (strcmp(line, "checkpoint\n") == 0 || strcmp(line, "checkpoint") == 0)
		err = blocked_again() ? 0 : persist_commit(&epoch);
	else
		err = status_word(line, taken);
	return err ? err : (ssize_t)n;
}

static unsigned
device_poll(struct file *f, struct poll_table *pt)
{
	struct persist *p = persist();
	unsigned events = POLL_OUT | POLL_WRNORM;

	spin_lock(&p->lock);
	poll_add(pt, &p->resumed, &p->lock);
	if (seen_by(f) < p->resumes)
		events |= POLL_IN | POLL_RDNORM;
	spin_unlock(&p->lock);
	return events;
}

static void
device_save(struct persist_writer *w, struct file *f)
{
	tag_u64(&w->tags, DEVICE_SEEN, seen_by(f));
}

static int
device_link(struct persist_reader *r, const struct tag_reader *in, struct file *f)
{
	f->private = (void *)tag_get_u64(in, DEVICE_SEEN, 0);
	return 0;
}

static const struct file_persist device_persist = {
	.number = FILE_HOLDFAST,
	.save = device_save,
	.link = device_link,
};

static const struct file_ops device_ops = {
	.kind = "holdfast",
	.read = device_read,
	.write = device_write,
	.poll = device_poll,
	.persist = &device_persist,
};

static int
device_open(struct vnode *v, struct file *f)
{
	f->ops = &device_ops;
	f->private = (void *)persist()->resumes;
	return 0;
}

void
device_init(void)
{
	file_persist_register(&device_ops);
	if (devfs_add("holdfast", 0666, DEVICE_MAJOR, DEVICE_MINOR, device_open, NULL) < 0)
		klog(KLOG_WARN, "persist", "no memory for /dev/holdfast");
}
