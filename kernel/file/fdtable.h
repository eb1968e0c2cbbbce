/*
 * Descriptor tables: growing arrays with a bitmap for the lowest free number; close-on-exec bits.
 * Shared by the threads of a process (and CLONE_FILES). Look-ups take a reference.
 */
#ifndef FILE_FDTABLE_H
#define FILE_FDTABLE_H

#include "file/file.h"

struct fdtable;

struct fdtable *fdtable_create(void);
void fdtable_get(struct fdtable *t);
void fdtable_put(struct fdtable *t);
int fdtable_fork(struct fdtable *t, struct fdtable **out);
void fdtable_exec(struct fdtable *t); /* closes what has close-on-exec */

/* Of the current process: a referenced file or NULL (EBADF). */
struct file *fd_get(int fd);
/* As fd_get but EBADF for O_PATH files. */
struct file *fd_get_io(int fd);
/* Reserves the lowest free descriptor >= from and installs f (consumes the reference on success).
 * The number, -EMFILE, -ENOMEM. */
int fd_install(struct file *f, int from, bool cloexec);
/* Puts f at exactly fd, closing what was there. */
int fd_install_at(struct file *f, int fd, bool cloexec);
u64 fd_limit(void); /* no new descriptor is as high */
int fd_close(int fd);
int fd_close_range(unsigned first, unsigned last, bool only_set_cloexec);
int fd_get_cloexec(int fd);
int fd_set_cloexec(int fd, bool on);
u64 fdtable_limit(struct fdtable *t);
void fdtable_set_limit(struct fdtable *t, u64 limit); /* RLIMIT_NOFILE */
/* Next used descriptor >= fd in t and a reference on its file; -1 when there is none. */
int fdtable_next(struct fdtable *t, int fd, struct file **out);
struct file *fdtable_file(struct fdtable *t, int fd); /* referenced */

/* How fd_*() find the current process's table: set by proc/ at start. */
struct fd_ops {
	struct fdtable *(*current_table)(void);
};
void fdtable_set_ops(const struct fd_ops *ops);

#endif
