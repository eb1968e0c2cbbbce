/*
 * Pipes and fifos in the store: the unread bytes, and how many ends were opened. The ends that are
 * open are counted by their files when these are linked.
 *
 * An open of a fifo that waits for the other side is made again at a resume, so it is not counted.
 */
#include "file/pipe_impl.h"

#include <asm/errno.h>

#include "file/dentry.h"
#include "lib/string.h"
#include "mm/slab.h"

enum {
	PIPE_CAPACITY = 1,
	PIPE_BYTES = 2, /* in order, in pieces of at most a page */
	PIPE_VNODE = 3, /* of a fifo */
	PIPE_READER_OPENS = 4,
	PIPE_WRITER_OPENS = 5,
};

enum { END_PIPE = 1 };

static void
pipe_save(struct persist_writer *w, void *object)
{
	struct pipe *p = object;
	struct frame *fr;

	tag_u64(&w->tags, PIPE_CAPACITY, p->capacity);
	list_for_each_entry (fr, &p->frames, link)
		tag_bytes(&w->tags, PIPE_BYTES, (char *)frame_virt(fr) + span_start(fr),
			  span_end(fr) - span_start(fr));
	persist_ref(w, PIPE_VNODE, &vnode_persist, p->vnode);
	tag_u64(&w->tags, PIPE_READER_OPENS, p->reader_opens);
	tag_u64(&w->tags, PIPE_WRITER_OPENS, p->writer_opens);
}

/* Of an empty one. */
static u64
pipe_version(struct persist_writer *w, void *object)
{
	struct pipe *p = object;
	u64 version = persist_mix(p->capacity, (u64)p->reader_opens << 32 | p->writer_opens);

	if (!list_empty(&p->frames))
		return 0;
	return persist_mix_ref(w, version, &vnode_persist, p->vnode);
}

static int
load_bytes(struct pipe *p, const struct tag_field *f)
{
	struct frame *fr;

	if (f->length == 0 || f->length > PAGE_SIZE || p->bytes + f->length > p->capacity)
		return -EBADMSG;
	fr = frame_alloc(0, FRAME_KERNEL);
	if (!fr)
		return -ENOMEM;
	memcpy(frame_virt(fr), f->data, f->length);
	span_set(fr, 0, (u32)f->length);
	list_add_tail(&p->frames, &fr->link);
	p->bytes += (u32)f->length;
	return 0;
}

static int
pipe_make(struct persist_reader *r, void **out)
{
	struct pipe *p = pipe_alloc();
	struct tag_field f = {0};
	int err = 0;

	if (!p)
		return -ENOMEM;
	p->capacity = (u32)tag_get_u64(&r->tags, PIPE_CAPACITY, p->capacity);
	p->reader_opens = (u32)tag_get_u64(&r->tags, PIPE_READER_OPENS, 0);
	p->writer_opens = (u32)tag_get_u64(&r->tags, PIPE_WRITER_OPENS, 0);
	while (err == 0 && tag_next(&r->tags, PIPE_BYTES, &f))
		err = load_bytes(p, &f);
	if (err) {
		pipe_free(p);
		return err;
	}
	*out = p;
	return 0;
}

static int
pipe_link(struct persist_reader *r, void *object)
{
	struct pipe *p = object;

	p->vnode = persist_get(r, &r->tags, PIPE_VNODE, &vnode_persist);
	if (p->vnode && p->vnode->fifo)
		return -EBADMSG;
	if (p->vnode)
		p->vnode->fifo = p;
	return 0;
}

/* The ends own a pipe: it has no references to drop. */
static void
pipe_drop(void *object)
{
	struct pipe *p = object;

	if (p->readers > 0 || p->writers > 0)
		return;
	if (p->vnode)
		p->vnode->fifo = NULL;
	pipe_free(p);
}

/*
 * Members of struct pipe over a power cut:
 *	written	frames capacity reader_opens writer_opens vnode
 *	made	lock spare bytes readers writers can_read can_write opened holds
 *		persistent
 */
const struct persist_kind pipe_persist = {
	.name = "pipe",
	.number = 86,
	.member = offsetof(struct pipe, persistent),
	.save = pipe_save,
	.version = pipe_version,
	.make = pipe_make,
	.link = pipe_link,
	.put = pipe_drop,
};

/* --- the ends --- */

static void
end_save(struct persist_writer *w, struct file *f)
{
	persist_ref(w, END_PIPE, &pipe_persist, f->private);
}

static u64
end_version(struct persist_writer *w, u64 h, struct file *f)
{
	return persist_mix_ref(w, h, &pipe_persist, f->private);
}

static int
end_link(struct persist_reader *r, const struct tag_reader *in, struct file *f)
{
	struct pipe *p = persist_get(r, in, END_PIPE, &pipe_persist);

	if (!p || !(f->readable || f->writable))
		return -EBADMSG;
	f->private = p;
	p->readers += f->readable;
	p->writers += f->writable;
	p->holds++;
	return 0;
}

const struct file_persist pipe_file_persist = {
	.number = FILE_PIPE,
	.save = end_save,
	.version = end_version,
	.link = end_link,
};

const struct file_persist fifo_file_persist = {
	.number = FILE_FIFO,
	.save = end_save,
	.version = end_version,
	.link = end_link,
};
