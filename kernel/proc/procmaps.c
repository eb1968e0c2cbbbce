/* /proc/<pid>/maps and smaps, and the numbers of /proc/sys/kernel that belong to processes. */
#include <asm/errno.h>

#include "lib/format.h"
#include "lib/string.h"
#include "proc/info.h"

#define MAPS_PATH 512

struct walk {
	struct text *x;
	struct vm_map *map;
	bool details;
	u64 size, rss, anon;
};

static void
add_name(struct text *x, struct vm_mapping *v, struct vm_map *m)
{
	const struct file *f = v->file;
	char path[MAPS_PATH];

	if (f && f->dentry && dentry_path(f->dentry, path, sizeof(path)) > 0)
		text_add(x, "%s", path);
	else if (v->label)
		text_add(x, "%s", v->label);
	else if (m->brk > m->brk_start && v->start >= ALIGN_DOWN(m->brk_start, PAGE_SIZE) &&
		 v->end <= ALIGN_UP(m->brk, PAGE_SIZE))
		text_add(x, "[heap]");
}

static int
show_mapping(struct vm_mapping *v, void *arg)
{
	struct walk *w = arg;
	const struct file *f = v->file;
	struct vnode *vn = f ? f->vnode : NULL;
	u64 kb = (v->end - v->start) / 1024, resident;
	struct pmap_noted noted;

	text_add(w->x, "%08lx-%08lx %c%c%c%c %08lx %02lx:%02lx %-10lu ", v->start, v->end,
		 v->prot & VM_READ ? 'r' : '-', v->prot & VM_WRITE ? 'w' : '-',
		 v->prot & VM_EXEC ? 'x' : '-', v->flags & VM_SHARED ? 's' : 'p', v->offset,
		 vn ? vn->attr.dev >> 8 & 0xfff : 0, vn ? vn->attr.dev & 0xff : 0,
		 vn ? vn->attr.ino : 0);
	add_name(w->x, v, w->map);
	text_add(w->x, "\n");
	if (!w->details)
		return 0;
	resident = vm_mapping_resident(v) / 1024;
	noted = pmap_count_noted(w->map->pmap, v->start, v->end);
	text_add(w->x,
		 "Size:           %8lu kB\nKernelPageSize: %8u kB\nMMUPageSize:    %8u kB\n"
		 "Rss:            %8lu kB\nPss:            %8lu kB\nReferenced:     %8lu kB\n",
		 kb, 4, 4, resident, resident, noted.accessed * 4);
	return 0;
}

void
info_show_maps(struct text *x, struct vm_map *m, bool details)
{
	struct walk w = {.x = x, .map = m, .details = details};

	if (m)
		(void)vm_map_for_each(m, show_mapping, &w);
}

static int
forget_mapping(struct vm_mapping *v, void *arg)
{
	const char *which = arg;

	if (*which == '1' || (*which == '2') == (v->object == NULL))
		pmap_forget_accesses(v->map->pmap, v->start, v->end);
	return 0;
}

int
info_clear_refs(struct vm_map *m, const char *which)
{
	if (*which == '5')
		m->max_rss = m->rss_anon + m->rss_file;
	else if (*which < '1' || *which > '3')
		return -EINVAL;
	else
		(void)vm_map_for_each(m, forget_mapping, (void *)which);
	return 0;
}

static int
sum_mapping(struct vm_mapping *v, void *arg)
{
	struct walk *w = arg;
	u64 resident = vm_mapping_resident(v);

	w->size += v->end - v->start;
	w->rss += resident;
	if (!v->file)
		w->anon += resident;
	return 0;
}

void
info_show_rollup(struct text *x, struct vm_map *m)
{
	struct walk w = {.x = x, .map = m};

	if (!m)
		return;
	(void)vm_map_for_each(m, sum_mapping, &w);
	text_add(x, "%08lx-%08lx ---p 00000000 00:00 0 [rollup]\n", 0UL, USER_TOP);
	text_add(x,
		 "Rss:            %8lu kB\nPss:            %8lu kB\nPss_Anon:       %8lu kB\n"
		 "Pss_File:       %8lu kB\nAnonymous:      %8lu kB\nSwap:           %8u kB\n",
		 w.rss / 1024, w.rss / 1024, w.anon / 1024, (w.rss - w.anon) / 1024, w.anon / 1024,
		 0);
}

/* --- /proc/sys/kernel --- */

static size_t
pid_max_show(char *buf, size_t size, void *arg)
{
	return (size_t)format(buf, size, "%d\n", atomic_load(&processes()->pid_max));
}

static ssize_t
pid_max_store(const char *buf, size_t n, void *arg)
{
	int v = 0;

	for (size_t i = 0; i < n && buf[i] >= '0' && buf[i] <= '9' && v < 1 << 24; i++)
		v = v * 10 + (buf[i] - '0');
	if (v < 301 || v > 4194304)
		return -EINVAL;
	atomic_store(&processes()->pid_max, v);
	return (ssize_t)n;
}

static size_t
name_show(char *buf, size_t size, void *arg)
{
	char name[65];

	spin_lock(&processes()->lock);
	memcpy(name, arg, sizeof(name));
	spin_unlock(&processes()->lock);
	return (size_t)format(buf, size, "%s\n", name);
}

static ssize_t
name_store(const char *buf, size_t n, void *arg)
{
	char name[65] = {0};

	memcpy(name, buf, min(n, sizeof(name) - 1));
	if (strchr(name, '\n'))
		*strchr(name, '\n') = 0;
	spin_lock(&processes()->lock);
	memcpy(arg, name, sizeof(name));
	spin_unlock(&processes()->lock);
	return (ssize_t)n;
}

static const struct genfile_ops pid_max_ops = {.show = pid_max_show, .store = pid_max_store};
static const struct genfile_ops name_ops = {.show = name_show, .store = name_store};

void
info_add_tunables(void)
{
	/* A name that is there already, or no memory: /proc does without. */
	(void)procfs_add("sys/kernel/pid_max", 0644, &pid_max_ops, NULL);
	(void)procfs_add("sys/kernel/hostname", 0644, &name_ops, processes()->hostname);
	(void)procfs_add("sys/kernel/domainname", 0644, &name_ops, processes()->domainname);
}
