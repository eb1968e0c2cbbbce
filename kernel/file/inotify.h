/* The operations behind inotify_add_watch and inotify_rm_watch, for linux/inotify.c. */
#ifndef FILE_INOTIFY_H
#define FILE_INOTIFY_H

#include "file/file.h"
#include "file/vnode.h"

/* mask: IN_*. The watch's number, or -EINVAL (f is none), -EEXIST (IN_MASK_CREATE), -ENOSPC, ... */
int inotify_watch(struct file *f, struct vnode *v, u32 mask);
int inotify_unwatch(struct file *f, int wd);

#endif
