/* The inside of a pipe, for pipe.c and pipe_persist.c. */
#ifndef FILE_PIPE_IMPL_H
#define FILE_PIPE_IMPL_H

#include "file/ipc_impl.h"
#include "mm/frame.h"

struct vnode;

struct pipe {
	struct spinlock lock;		/* rank RANK_FILE */
	struct list frames;		/* [lock] by struct frame's link; the span is in private */
	struct frame *spare;		/* [lock] */
	u32 bytes, capacity;		/* [lock] */
	u32 readers, writers;		/* [lock] open ends */
	u32 reader_opens, writer_opens; /* [lock] opens ever, for fifo_open's wait */
	struct waitq can_read, can_write; /* [lock] */
	struct waitq opened;		  /* [lock] fifo_open waits for the other side */
	struct vnode *vnode;		  /* [I] of a fifo */
	u32 holds;			  /* [ipc->lock] fifo opens that use it */
	struct persistent persistent;
};

/* A frame's span, in frame->private. */
static inline u32
span_start(const struct frame *fr)
{
	return fr->private >> 32;
}

static inline u32
span_end(const struct frame *fr)
{
	return (u32)fr->private;
}

static inline void
span_set(struct frame *fr, u32 start, u32 end)
{
	fr->private = (u64)start << 32 | end;
}

/* pipe.c. NULL: no memory. */
struct pipe *pipe_alloc(void);
void pipe_free(struct pipe *p);

/* pipe_persist.c */
extern const struct file_persist pipe_file_persist, fifo_file_persist;

#endif
