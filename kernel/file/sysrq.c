/*
 * /proc/sysrq-trigger: a letter written to it acts at once (Linux's admin-guide/sysrq).
 *
 * c panics, b reboots, o switches off. Any other letter is EINVAL: none pretends to act.
 */
#include <asm/errno.h>
#include "core/panic.h"
#include "dev/power.h"
#include "file/dentry.h"

static ssize_t
trigger_store(const char *buf, size_t n, void *arg)
{
	if (n == 0)
		return 0;
	switch (buf[0]) {
	case 'c':
		panic("sysrq triggered crash");
	case 'b':
		power_reboot();
	case 'o':
		power_off();
	default:
		return -EINVAL;
	}
}

int
sysrq_register(void)
{
	static const struct genfile_ops trigger = {.store = trigger_store};

	return procfs_add("sysrq-trigger", 0200, &trigger, NULL);
}
