/* /proc/holdfast/store: figures of the engine and its store; "period MS" sets the period, 0: only
 * when asked. */
#include <asm/errno.h>

#include "arch/clock.h"
#include "core/klog.h"
#include "file/dentry.h"
#include "lib/string.h"
#include "persist/impl.h"

static size_t
status_show(char *buf, size_t n, void *arg)
{
	struct persist *p = arg;
	struct figures f;
	size_t len = 0;
	u64 epoch, size, used, room;
	ns_t period, age;

	spin_lock(&p->lock);
	f = p->figures;
	period = p->period;
	epoch = p->epoch;
	size = p->size;
	used = p->used;
	room = p->room;
	age = clock_now() - p->cut_ns;
	spin_unlock(&p->lock);
	gen_printf(buf, n, &len, "epoch %lu\nage_ms %lld\nperiod_ms %lld\n", epoch, age / NS_PER_MS,
		   period == NS_FOREVER ? 0 : period / NS_PER_MS);
	gen_printf(buf, n, &len, "resumes %lu\nresumed_epoch %lu\noutage_ms %lld\nresume_ms %lld\n",
		   p->resumes, p->resumed_epoch, p->outage_ns / NS_PER_MS,
		   p->resumed_epoch ? p->resume_ns / NS_PER_MS : 0);
	gen_printf(buf, n, &len, "commits %lu\nunchanged %lu\nfailed %lu\n", f.commits, f.skipped,
		   f.failed);
	gen_printf(buf, n, &len, "wait_us %lld\npause_us %lld\npause_max_us %lld\ncommit_us %lld\n",
		   f.wait_ns / NS_PER_US, f.pause_ns / NS_PER_US, f.pause_max_ns / NS_PER_US,
		   f.commit_ns / NS_PER_US);
	gen_printf(buf, n, &len, "walk_us %lld\nmemory_us %lld\n", f.walk_ns / NS_PER_US,
		   f.memory_ns / NS_PER_US);
	gen_printf(buf, n, &len, "objects %lu\nwalked %lu\nrecords %lu\npages %lu\n", f.objects,
		   f.walked, f.records, f.pages);
	gen_printf(buf, n, &len, "copied %lu\ncopied_beside %lu\n", f.copied, f.beside);
	gen_printf(buf, n, &len, "size_bytes %lu\nused_bytes %lu\nroom_bytes %lu\n", size, used,
		   room);
	return len;
}

int
status_word(const char *buf, size_t n)
{
	u64 ms = 0;

	if (n < 8 || memcmp(buf, "period ", 7) != 0)
		return -EINVAL;
	for (size_t i = 7; i < n && buf[i] != '\n'; i++) {
		if (buf[i] < '0' || buf[i] > '9' || ms > 86400000)
			return -EINVAL;
		ms = ms * 10 + (u64)(buf[i] - '0');
	}
	persist_set_period(ms ? (ns_t)ms * NS_PER_MS : NS_FOREVER);
	return 0;
}

static ssize_t
status_store(const char *buf, size_t n, void *arg)
{
	int err = status_word(buf, n);

	return err ? err : (ssize_t)n;
}

void
status_init(struct persist *p)
{
	static const struct genfile_ops ops = {status_show, status_store};

	if (procfs_add("holdfast/store", 0644, &ops, p))
		klog(KLOG_WARN, "persist", "no memory for /proc/holdfast/store");
}
