/*
 * /proc/sys: the figures programs ask for. Most are facts and read-only; none pretends to be
 * changeable. pid_max, hostname and domainname are proc/'s, which registers them; a name
 * that somebody has registered before stays theirs.
 */
#include <asm/errno.h>
#include "core/random.h"
#include "file/dentry.h"
#include "lib/format.h"
#include "mm/frame.h"

static void
make_uuid(char out[40])
{
	u8 b[16];

	random_bytes(b, sizeof(b));
	b[6] = (u8)((b[6] & 0x0f) | 0x40);
	b[8] = (u8)((b[8] & 0x3f) | 0x80);
	format(out, 40, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n",
	       b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
	       b[13], b[14], b[15]);
}

static size_t
boot_id_show(char *buf, size_t size, void *arg)
{
	size_t len = 0;

	gen_printf(buf, size, &len, "%s", vfs_get()->boot_id);
	return len;
}

static size_t
uuid_show(char *buf, size_t size, void *arg)
{
	char uuid[40];
	size_t len = 0;

	make_uuid(uuid);
	gen_printf(buf, size, &len, "%s", uuid);
	return len;
}

static size_t
text_show(char *buf, size_t size, void *arg)
{
	size_t len = 0;

	gen_printf(buf, size, &len, "%s\n", (const char *)arg);
	return len;
}

/* As many as memory would hold. */
static u64
file_max(void)
{
	struct memory_info m;

	memory_info(&m);
	return m.total * PAGE_SIZE / 1024 / 10;
}

static size_t
file_max_show(char *buf, size_t size, void *arg)
{
	size_t len = 0;

	gen_printf(buf, size, &len, "%lu\n", file_max());
	return len;
}

static size_t
file_nr_show(char *buf, size_t size, void *arg)
{
	struct vfs *vfs = vfs_get();
	u64 open = atomic_load(&vfs->files_open), made = atomic_load(&vfs->files_made);
	size_t len = 0;

	gen_printf(buf, size, &len, "%lu\t%lu\t%lu\n", made, made - min(made, open), file_max());
	return len;
}

int
proctunables_register(void)
{
	static const struct genfile_ops text = {text_show}, boot_id = {boot_id_show},
					uuid = {uuid_show}, file_max_ops = {file_max_show},
					file_nr = {file_nr_show};
	static const struct {
		const char *path;
		const struct genfile_ops *ops;
		const char *text;
	} files[] = {
		{"sys/kernel/osrelease", &text, "6.1.0-holdfast"},
		{"sys/kernel/ostype", &text, "Linux"},
		{"sys/kernel/version", &text, "#1 SMP"},
		{"sys/kernel/threads-max", &text, "4194304"},
		{"sys/kernel/tainted", &text, "0"},
		{"sys/kernel/cap_last_cap", &text, "40"},
		{"sys/kernel/ngroups_max", &text, "32"},
		{"sys/kernel/randomize_va_space", &text, "2"},
		{"sys/kernel/core_pattern", &text, ""},
		{"sys/kernel/overflowuid", &text, "65534"},
		{"sys/kernel/overflowgid", &text, "65534"},
		{"sys/kernel/random/boot_id", &boot_id, NULL},
		{"sys/kernel/random/uuid", &uuid, NULL},
		{"sys/kernel/random/entropy_avail", &text, "256"},
		{"sys/kernel/random/poolsize", &text, "256"},
		{"sys/vm/overcommit_memory", &text, "1"},
		{"sys/vm/overcommit_ratio", &text, "50"},
		{"sys/vm/max_map_count", &text, "2147483647"},
		{"sys/vm/swappiness", &text, "0"},
		{"sys/vm/mmap_min_addr", &text, "65536"},
		{"sys/fs/file-max", &file_max_ops, NULL},
		{"sys/fs/file-nr", &file_nr, NULL},
		{"sys/fs/nr_open", &text, "1048576"},
		{"sys/fs/pipe-max-size", &text, "1048576"},
		{"sys/net/core/somaxconn", &text, "4096"},
		{"sys/fs/inotify/max_user_watches", &text, "1048576"},
		{"sys/fs/inotify/max_user_instances", &text, "1048576"},
		{"sys/fs/inotify/max_queued_events", &text, "16384"},
	};
	int err = 0;

	make_uuid(vfs_get()->boot_id);
	for (unsigned i = 0; i < ARRAY_SIZE(files) && err == 0; i++) {
		err = procfs_add(files[i].path, 0444, files[i].ops, (void *)files[i].text);
		if (err == -EEXIST)
			err = 0;
	}
	return err;
}
