/*
 * execve: replaces the program of a process.
 *
 * Everything that can fail is done on the side: the strings are copied, the files checked ("#!"
 * lines lead to their interpreter, at most four deep), the new address space is laid out with its
 * stack. Then the other threads are ended, and from there on nothing fails: the new map takes the
 * place of the old one, descriptors with close-on-exec are closed, handlers become default.
 *
 * Runs in the calling task, sleeps, holds no lock across the steps.
 */
#include "proc/siginfo_uapi.h"
#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/personality.h>
#include <linux/signal.h>
#include <linux/stat.h>

#include "arch/context.h"
#include "arch/trap.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/exec.h"
#include "proc/timers.h"
#include "proc/trap.h"

static int
check_executable(struct file *f)
{
	if (!f->vnode || !S_ISREG(f->vnode->attr.mode))
		return -EACCES;
	return vnode_permission(f->vnode, 1);
}

/* Nobody may write to w->file from here on. */
static int
hold_program(struct exec_work *w)
{
	int err = check_executable(w->file);

	if (!err)
		err = vnode_write_deny(w->file->vnode);
	w->held = !err;
	return err;
}

static void
put_program(struct exec_work *w)
{
	if (w->held)
		vnode_write_allow(w->file->vnode);
	w->held = false;
	file_put(w->file);
}

static int
read_head(struct exec_work *w)
{
	s64 at = 0;
	struct uio u;
	ssize_t n;

	memset(w->head, 0, sizeof(w->head));
	uio_kernel(&u, w->head, sizeof(w->head) - 1);
	n = file_read(w->file, &u, &at);
	if (n < 0)
		return (int)n;
	w->head_len = (size_t)n;
	return 0;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Splits "#! interpreter argument" in place. *arg NULL when there is none. 0 or -ENOEXEC. */
static int
parse_script(char *line, char **interp, char **arg)
{
	char *end = strchr(line, '\n'), *p = line + 2;

	if (end) {
		*end = 0;
	} else if (strlen(line) >= EXEC_HEAD - 1) {
		/* Cut off: only an interpreter that is whole will do. */
		while (is_blank(*p))
			p++;
		while (*p && !is_blank(*p))
			p++;
		if (!*p)
			return -ENOEXEC;
		p = line + 2;
	}
	for (end = line + strlen(line); end > p && (is_blank(end[-1]) || end[-1] == '\r'); end--)
		if (!is_blank(end[-1]))
			break;
	*end = 0;
	while (is_blank(*p))
		p++;
	if (!*p)
		return -ENOEXEC;
	*interp = p;
	while (*p && !is_blank(*p))
		p++;
	*arg = NULL;
	if (*p) {
		*p++ = 0;
		while (is_blank(*p))
			p++;
		*arg = *p ? p : NULL;
	}
	return 0;
}

/* The file is a script: its interpreter becomes the program. `path` names the script. */
static int
enter_script(struct exec_work *w, const char *path, char *next_path, size_t size)
{
	char *interp, *arg;
	struct file *f;
	int err = parse_script((char *)w->head, &interp, &arg);

	if (!err)
		err = exec_prepend(&w->argv, interp, arg, path);
	if (!err)
		err = vfs_open(AT_FDCWD, interp, O_RDONLY, 0, &f);
	if (err)
		return err;
	string_copy(next_path, interp, size);
	put_program(w);
	w->file = f;
	return 0;
}

/* Follows scripts to a program that is ELF, and reads its headers. */
static int
find_program(struct exec_work *w)
{
	char path[EXEC_HEAD];
	const char *script = w->name;
	int err;

	for (int depth = 0;; depth++) {
		err = hold_program(w);
		if (!err)
			err = read_head(w);
		if (err)
			return err;
		if (w->head_len < 2 || w->head[0] != '#' || w->head[1] != '!')
			break;
		if (depth > EXEC_SCRIPTS_MAX)
			return -ELOOP;
		err = enter_script(w, script, path, sizeof(path));
		if (err)
			return err;
		script = path;
	}
	return exec_read_image(w->file, w->head, w->head_len, &w->image);
}

static int
find_interpreter(struct exec_work *w)
{
	u64 size = w->image.interp_size;
	u8 head[ELF_HEADER_BYTES];
	char *path;
	int err;

	if (size == 0)
		return 0;
	if (size > 4096)
		return -ENOEXEC;
	path = kmalloc(size);
	if (!path)
		return -ENOMEM;
	err = exec_read(w->file, w->image.interp_offset, path, size);
	if (!err && path[size - 1] != '\0') {
		kfree(path);
		return -ENOEXEC;
	}
	if (!err)
		err = vfs_open(AT_FDCWD, path, O_RDONLY, 0, &w->interp);
	kfree(path);
	if (err)
		return err;
	err = check_executable(w->interp);
	if (!err)
		err = exec_read(w->interp, 0, head, sizeof(head));
	if (!err)
		err = exec_read_image(w->interp, head, sizeof(head), &w->interp_image);
	return err == -ENOEXEC ? -ELIBBAD : err;
}

/* --- the point of no return and after --- */

static void
set_comm(struct process *p, struct task *t, const char *name)
{
	const char *slash = strrchr(name, '/');

	memset(t->thread.name, 0, sizeof(t->thread.name));
	string_copy(t->thread.name, slash ? slash + 1 : name, sizeof(t->thread.name));
	memcpy(p->comm, t->thread.name, sizeof(p->comm));
}

static void
apply_credentials(struct process *p, struct file *f)
{
	const struct attr *a = &f->vnode->attr;

	spin_lock(&p->lock);
	if ((a->mode & S_ISUID) && !p->no_new_privs)
		p->cred.euid = a->uid;
	if ((a->mode & S_ISGID) && (a->mode & S_IXGRP) && !p->no_new_privs)
		p->cred.egid = a->gid;
	p->cred.suid = p->cred.fsuid = p->cred.euid;
	p->cred.sgid = p->cred.fsgid = p->cred.egid;
	spin_unlock(&p->lock);
}

static void
reset_task(struct task *t, const struct exec_work *w)
{
	struct trapframe *f = t->thread.frame;

	memset(f, 0, sizeof(*f));
	f->rip = w->entry;
	f->rsp = w->stack;
	f->rflags = 0x202; /* interrupts on, and the bit that is always one */
	f->cs = SEL_UCODE;
	f->ss = SEL_UDATA;
	f->vector = VECTOR_SYSCALL;
	f->orig_rax = ~0UL;
	task_set_bases(t, 0, 0);
	fpu_drop_current();
	fpu_area_init(t->thread.fpu);
	t->altstack_base = 0;
	t->altstack_size = 0;
	t->altstack_flags = SS_DISABLE;
	t->robust_list = NULL;
	t->clear_tid = NULL;
	t->set_child_tid = NULL;
	t->restart.fn = NULL;
}

static void
commit_map(struct process *p, struct task *t, struct exec_work *w)
{
	struct dentry *old_exe = p->exe;
	struct vm_map *old = p->map;

	if (old)
		task_release_user(t);
	process_exe_get(w->file->dentry);
	spin_lock(&p->lock);
	p->map = w->map;
	p->exe = w->file->dentry;
	p->exe_place = (struct place_seen){0};
	memcpy(p->auxv, w->auxv, sizeof(p->auxv));
	p->auxv_words = w->auxv_words;
	spin_unlock(&p->lock);
	task_set_map(t, w->map);
	w->map = NULL;
	if (old)
		vm_map_put(old);
	process_exe_put(old_exe);
}

static void
commit(struct exec_work *w, struct fdtable *own_files, struct sighandlers *own_handlers)
{
	struct task *t = current_task();
	struct process *p = t->process;

	commit_map(p, t, w);
	process_vfork_done(p);
	apply_credentials(p, w->file);
	if (own_files) {
		struct fdtable *shared = p->files;

		p->files = own_files;
		p->files_shared = false;
		fdtable_put(shared);
	}
	if (own_handlers) {
		struct sighandlers *shared = p->handlers;

		spin_lock(&p->lock);
		p->handlers = own_handlers;
		spin_unlock(&p->lock);
		sighandlers_put(shared);
	}
	fdtable_exec(p->files);
	sighandlers_reset(p->handlers);
	timers_drop_posix(p);
	set_comm(p, t, w->name);
	p->did_exec = true;
	p->dumpable = true;
	reset_task(t, w);
}

/* Makes what would be shared the process's own, ends its other threads, and takes the new program.
 */
static int
replace(struct exec_work *w)
{
	struct process *p = current_process();
	struct sighandlers *handlers = NULL;
	struct fdtable *files = NULL;
	int err = 0;

	if (p->files_shared)
		err = fdtable_fork(p->files, &files);
	if (err)
		return err;
	if (atomic_load(&p->handlers->refs.value) > 1) {
		handlers = sighandlers_copy(p->handlers);
		if (!handlers) {
			err = -ENOMEM;
			goto free_files;
		}
	}
	err = process_become_single();
	if (err)
		goto free_handlers;
	commit(w, files, handlers);
	return 0;

free_handlers:
	if (handlers)
		sighandlers_put(handlers);
free_files:
	if (files)
		fdtable_put(files);
	return err;
}

static int
prepare(struct exec_work *w, char *const *argv, char *const *envp, bool user)
{
	int err = exec_copy_vector(&w->argv, argv, user);

	if (!err)
		err = exec_copy_vector(&w->envp, envp, user);
	if (!err && w->argv.count == 0)
		err = exec_add_string(&w->argv, "");
	if (!err)
		err = find_program(w);
	if (!err)
		err = find_interpreter(w);
	if (err)
		return err;
	w->map = vm_map_create();
	if (!w->map)
		return -ENOMEM;
	vm_map_lay_out(w->map, !(current_process()->personality & ADDR_NO_RANDOMIZE));
	err = exec_load(w);
	return err ? err : exec_build_stack(w);
}

int
exec_open(struct file *f, const char *name, char *const *argv, char *const *envp, bool user_vectors)
{
	struct exec_work *w = kzalloc(sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	file_get(f);
	w->file = f;
	w->name = name;
	err = prepare(w, argv, envp, user_vectors);
	if (!err)
		err = replace(w);
	if (w->map)
		vm_map_put(w->map);
	if (w->interp)
		file_put(w->interp);
	put_program(w);
	exec_free_strings(&w->argv);
	exec_free_strings(&w->envp);
	kfree(w);
	return err;
}

int
exec_file(const char *path, char *const *argv, char *const *envp, bool user_vectors)
{
	struct file *f;
	int err = vfs_open(AT_FDCWD, path, O_RDONLY, 0, &f);

	if (err)
		return err;
	err = exec_open(f, path, argv, envp, user_vectors);
	file_put(f);
	return err;
}
