/*
 * /proc/net/unix: a line for every AF_UNIX socket, in Linux's format (man 5 proc). The first
 * column, an address in Linux's kernel, is always zero.
 *
 * Locks: unix->lock while a text is made; it also guards the names.
 */
#include "file/unix_impl.h"

#include "file/dentry.h"

#define ACCEPTS 0x10000u /* __SO_ACCEPTCON of Linux */

enum { SS_UNCONNECTED = 1, SS_CONNECTED = 3 };

static void
show_name(char *buf, size_t size, size_t *len, const struct unix_name *name)
{
	bool abstract = name->len > 0 && name->path[0] == 0;
	char text[sizeof(name->path) + 1];
	u32 n = 0;

	for (; n < name->len && (abstract || name->path[n] != 0); n++)
		text[n] = name->path[n] ? name->path[n] : '@';
	text[n] = 0;
	gen_printf(buf, size, len, n > 0 ? " %s\n" : "\n", text);
}

static size_t
unix_show(char *buf, size_t size, void *arg)
{
	struct unix_sockets *u = unix_root();
	struct unix_sock *s;
	size_t len = 0;

	gen_printf(buf, size, &len, "Num       RefCount Protocol Flags    Type St Inode Path\n");
	spin_lock(&u->lock);
	list_for_each_entry (s, &u->all, all_link) {
		gen_printf(buf, size, &len, "%016lx: %08X %08X %08X %04X %02X %5lu", 0ul,
			   atomic_load(&s->refs.value), 0u,
			   s->state == UNIX_LISTENING ? ACCEPTS : 0u, (unsigned)s->type,
			   s->state == UNIX_CONNECTED ? SS_CONNECTED : SS_UNCONNECTED,
			   s->file && !s->dead ? s->file->ino : 0ul);
		show_name(buf, size, &len, &s->name);
	}
	spin_unlock(&u->lock);
	return len;
}

int
unix_proc_init(void)
{
	static const struct genfile_ops ops = {.show = unix_show};

	return procfs_add("net/unix", 0444, &ops, NULL);
}
