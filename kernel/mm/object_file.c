/*
 * The page cache of regular files: ram files, memfd, and files of the root image.
 *
 * A page of a file is a frame in the tree, or lies in the root image (below image_size and not in
 * the tree) where it is used in place and never written, or is a hole that reads as zeros. A page
 * of the image that is written, or whose end lies behind the end of the file and is not zero, is
 * replaced by a copy in the tree; translations of the image's frame are taken away first.
 *
 * Locks: the object's for the tree and the sizes; it is not held while user memory is touched, a
 * reference on the frame is. The caller serialises write and truncate with the file's own lock.
 * Reads beside them see old or new bytes.
 */
#include <asm/errno.h>

#include "arch/cpu.h"
#include "core/sched.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "mm/anon.h"
#include "mm/home.h"
#include "mm/object.h"
#include "mm/policy.h"
#include "mm/reclaim.h"
#include "mm/slab.h"

#define UNMAP_MAX (1UL << 40) /* pages: more than any file has */

static u64
page_count(u64 bytes)
{
	return DIV_ROUND_UP(bytes, PAGE_SIZE);
}

static bool
in_image(const struct vm_object *o, u64 index)
{
	return o->image_base != 0 && index << PAGE_SHIFT < o->image_size;
}

static void *
image_page(const struct vm_object *o, u64 index)
{
	return phys_to_virt(o->image_base + (index << PAGE_SHIFT));
}

/* Whether the image's page may be shown as it is: nothing but zeros behind the file's end. */
static bool
image_page_clean(const struct vm_object *o, u64 index)
{
	u64 end = o->image_size - (index << PAGE_SHIFT);
	const u8 *p = image_page(o, index);

	for (u64 i = end; i < PAGE_SIZE; i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* Brings a frame of its own for a page that has none. => o->lock held */
static struct frame *
materialise(struct vm_object *o, u64 index)
{
	bool image = in_image(o, index);
	struct frame *f = policy_alloc_shared(o, index, image ? 0 : FRAME_ZERO);
	u64 bytes;

	if (f == NULL)
		return NULL;
	if (image) {
		bytes = min(o->image_size - (index << PAGE_SHIFT), PAGE_SIZE);
		page_copy(frame_virt(f), image_page(o, index));
		memset(frame_virt(f) + bytes, 0, PAGE_SIZE - bytes);
		object_unmap(o, index, 1);
	}
	if (object_insert(o, index, f)) {
		frame_put(f);
		return NULL;
	}
	frame_note_dirty(f);
	return f;
}

static void
note_used(struct frame *f)
{
	if (persisting() && !(f->flags & FF_USED))
		atomic_fetch_or(&f->flags, (u16)FF_USED);
}

/* The page's frame, or NULL; -EAGAIN: it may be on the disk. => o->lock held */
static int
find_frame(struct vm_object *o, u64 index, bool write, struct frame **out)
{
	*out = radix_get(&o->pages, index);
	if (*out == NULL)
		return home_wants(o, index) ? -EAGAIN : 0;
	note_used(*out);
	return write ? object_writable(o, index, out) : 0;
}

static int
file_get_frame(struct vm_object *o, u64 index, bool write, struct frame **out)
{
	struct frame *f;
	int err;

	if (index >= page_count(o->size))
		return -EFAULT;
	err = find_frame(o, index, write, &f);
	if (err)
		return err;
	if (f == NULL && !write && in_image(o, index) && image_page_clean(o, index))
		f = frame_of_paddr(o->image_base + (index << PAGE_SHIFT));
	if (f == NULL)
		f = materialise(o, index);
	if (f == NULL)
		return -ENOMEM;
	frame_get(f);
	*out = f;
	return 0;
}

static paddr_t
file_peek(struct vm_object *o, u64 index)
{
	const struct frame *f;

	if (index >= page_count(o->size))
		return 0;
	f = radix_get(&o->pages, index);
	if (f != NULL)
		return frame_paddr(f);
	if (in_image(o, index) && o->image_size - (index << PAGE_SHIFT) >= PAGE_SIZE)
		return o->image_base + (index << PAGE_SHIFT);
	return 0;
}

static const struct vm_object_ops file_ops = {
	.kind = "file",
	.frame_flag = FF_CACHE,
	.get_frame = file_get_frame,
	.peek = file_peek,
};

struct vm_object *
vm_object_create_file(u64 size)
{
	struct vm_object *o = object_create(&file_ops);

	if (o != NULL)
		o->size = size;
	return o;
}

struct vm_object *
vm_object_create_image(paddr_t paddr, u64 size)
{
	struct vm_object *o = vm_object_create_file(size);

	assert(IS_ALIGNED(paddr, PAGE_SIZE));
	if (o == NULL || size == 0)
		return o;
	o->image_base = paddr;
	o->image_size = size;
	for (u64 i = 0; i < page_count(size); i++)
		frame_of_paddr(paddr + (i << PAGE_SHIFT))->flags |= FF_IMAGE;
	return o;
}

/*
 * Where the bytes at `offset` are to be read from: at most *n of them, in a frame (a reference is
 * given), in the image (none is), or a hole (both NULL). -EAGAIN: perhaps on the disk.
 */
static int
locate_resident(struct vm_object *o, u64 offset, size_t *n, struct frame **f, const void **image)
{
	u64 index = offset >> PAGE_SHIFT;
	int err = 0;

	*f = NULL;
	*image = NULL;
	spin_lock(&o->lock);
	*n = offset < o->size ? min((u64)*n, o->size - offset) : 0;
	if (*n > 0)
		err = find_frame(o, index, false, f);
	if (*f != NULL)
		frame_get(*f);
	else if (offset < o->image_size)
		*image = phys_to_virt(o->image_base + offset);
	if (*image != NULL && o->pages.count == 0)
		*n = min((u64)*n, o->image_size - offset); /* all in one piece */
	else
		*n = min(*n, PAGE_SIZE - (offset & (PAGE_SIZE - 1)));
	if (*image != NULL)
		*n = min((u64)*n, o->image_size - offset);
	spin_unlock(&o->lock);
	return err;
}

/* The same; what is on the disk comes in first. 0, or why it cannot. */
static int
locate(struct vm_object *o, u64 offset, size_t *n, struct frame **f, const void **image)
{
	size_t most = *n;
	int err;

	while ((err = locate_resident(o, offset, n, f, image)) == -EAGAIN) {
		err = home_page_in(o, offset >> PAGE_SHIFT);
		if (err)
			break;
		*n = most;
	}
	return err;
}

ssize_t
vm_object_read(struct vm_object *o, struct uio *u, u64 offset)
{
	size_t done = 0;
	int err = 0;

	while (u->resid > 0 && !u->fault) {
		size_t n = u->resid, moved;
		struct frame *f;
		const void *image;

		err = locate(o, offset, &n, &f, &image);
		if (err || n == 0)
			break;
		if (f != NULL)
			moved = uio_copy_out(u, frame_virt(f) + (offset & (PAGE_SIZE - 1)), n);
		else if (image != NULL)
			moved = uio_copy_out(u, image, n);
		else
			moved = uio_zero_out(u, n);
		if (f != NULL)
			frame_put(f);
		done += moved;
		offset += moved;
		sched_point();
	}
	return done == 0 && err ? err : uio_result(u, done);
}

/* A page for writing, with a reference. May lie behind the end of the file. */
static int
page_for_write(struct vm_object *o, u64 index, struct frame **out)
{
	struct frame *f;
	int err;

	do {
		spin_lock(&o->lock);
		err = find_frame(o, index, true, &f);
		if (err == 0 && f == NULL)
			f = materialise(o, index);
		if (err == 0 && f == NULL)
			err = -ENOMEM;
		if (err == 0)
			frame_get(f);
		spin_unlock(&o->lock);
		*out = f;
	} while ((err == -EAGAIN && (err = home_page_in(o, index)) == 0) ||
		 (err == -ENOMEM && reclaim_some()));
	return err;
}

/* Fills a new frame with a whole page before anybody sees it. False when the page exists already,
 * so that nothing was taken from u, or when memory is out. */
static bool
write_new_page(struct vm_object *o, struct uio *u, u64 index, size_t *moved)
{
	struct frame *f;
	bool done;

	spin_lock(&o->lock);
	done = radix_get(&o->pages, index) != NULL || in_image(o, index) || home_wants(o, index);
	f = done ? NULL : policy_alloc_shared(o, index, 0);
	spin_unlock(&o->lock);
	if (f == NULL)
		return false;
	*moved = uio_copy_in(u, frame_virt(f), PAGE_SIZE);
	memset(frame_virt(f) + *moved, 0, PAGE_SIZE - *moved);
	spin_lock(&o->lock);
	done = radix_get(&o->pages, index) == NULL && object_insert(o, index, f) == 0;
	if (done)
		frame_note_dirty(f);
	spin_unlock(&o->lock);
	if (!done) {
		uio_revert(u, *moved);
		frame_put(f);
	}
	return done;
}

static int
write_page(struct vm_object *o, struct uio *u, u64 offset, size_t *moved)
{
	size_t at = offset & (PAGE_SIZE - 1), n = min(u->resid, PAGE_SIZE - at);
	struct frame *f;
	int err;

	if (n < PAGE_SIZE || !write_new_page(o, u, offset >> PAGE_SHIFT, moved)) {
		err = page_for_write(o, offset >> PAGE_SHIFT, &f);
		if (err)
			return err;
		*moved = uio_copy_in(u, frame_virt(f) + at, n);
		frame_note_dirty(f);
		frame_put(f);
	}
	spin_lock(&o->lock);
	if (*moved > 0 && offset + *moved > o->size) {
		o->size = offset + *moved;
		persist_touch(&o->persistent);
	}
	spin_unlock(&o->lock);
	return 0;
}

ssize_t
vm_object_write(struct vm_object *o, struct uio *u, u64 offset)
{
	size_t done = 0, moved;
	int err = 0;

	while (u->resid > 0 && !u->fault) {
		err = write_page(o, u, offset, &moved);
		if (err)
			break;
		done += moved;
		offset += moved;
		reclaim_balance();
		sched_point();
	}
	return done == 0 && err ? err : uio_result(u, done);
}

/* Zeroes what lies behind the new end in its page. => o->lock held */
static int
zero_tail(struct vm_object *o, u64 size)
{
	u64 index = size >> PAGE_SHIFT, at = size & (PAGE_SIZE - 1);
	struct frame *f;
	int err;

	if (at == 0)
		return 0;
	err = find_frame(o, index, true, &f);
	if (err)
		return err;
	if (f == NULL && in_image(o, index)) {
		f = materialise(o, index);
		if (f == NULL)
			return -ENOMEM;
	}
	if (f != NULL) {
		memset(frame_virt(f) + at, 0, PAGE_SIZE - at);
		frame_note_dirty(f);
	}
	return 0;
}

/* => o->lock held; it is let go of meanwhile when somebody who has a private mapping's lock may
 * want it. Behind the new end nothing is entered any more. */
static int
shrink(struct vm_object *o, u64 size)
{
	int err = zero_tail(o, size);

	if (err == 0)
		err = home_forget(o, page_count(size), ~0UL);
	if (err)
		return err;
	o->size = size;
	o->image_size = min(o->image_size, size);
	object_unmap(o, page_count(size), UNMAP_MAX);
	while (!anon_cut_behind(o)) {
		spin_unlock(&o->lock);
		cpu_pause();
		spin_lock(&o->lock);
	}
	return 0;
}

int
vm_object_truncate(struct vm_object *o, u64 size)
{
	u64 first = page_count(size);
	int err;

	do {
		spin_lock(&o->lock);
		err = size < o->size ? shrink(o, size) : 0;
		if (err == 0)
			o->size = size;
		persist_touch(&o->persistent);
		spin_unlock(&o->lock);
	} while (err == -EAGAIN && (err = home_page_in(o, size >> PAGE_SHIFT)) == 0);
	if (err == 0)
		object_release(o, first, ~0UL);
	return err;
}

/* A page of the image is hidden by one of zeros. => o->lock held */
static int
zero_page(struct vm_object *o, u64 index)
{
	struct frame *f;
	int err = find_frame(o, index, true, &f);

	if (err == 0 && f == NULL)
		f = materialise(o, index);
	if (err == 0 && f == NULL)
		err = -ENOMEM;
	if (err == 0) {
		page_zero(frame_virt(f));
		frame_note_dirty(f);
	}
	return err;
}

/* From *first on, which moves behind the pages of the image that are done. => o->lock held */
static int
drop_locked(struct vm_object *o, u64 *first, u64 end)
{
	int err = 0;

	object_unmap(o, *first, end - *first);
	for (; *first < end && in_image(o, *first) && err == 0; ++*first)
		err = zero_page(o, *first);
	if (err) {
		--*first;
		return err;
	}
	err = home_forget(o, *first, end);
	for (u64 i = *first; err == 0 && radix_next_before(&o->pages, &i, end) != NULL; i++)
		frame_put(object_extract(o, i));
	return err;
}

int
vm_object_drop(struct vm_object *o, u64 first, u64 n)
{
	u64 end = first + n;
	int err;

	do {
		spin_lock(&o->lock);
		err = drop_locked(o, &first, end);
		spin_unlock(&o->lock);
	} while (err == -EAGAIN && (err = home_page_in(o, first)) == 0);
	return err;
}

int
vm_object_allocate(struct vm_object *o, u64 offset, u64 size)
{
	u64 end = page_count(offset + size);

	for (u64 i = offset >> PAGE_SHIFT; i < end; i++) {
		struct frame *f;
		int err = page_for_write(o, i, &f);

		if (err)
			return err;
		frame_put(f);
		reclaim_balance();
		sched_point();
	}
	return 0;
}

/* The first page at or behind `index` that holds anything; ~0: none. => o->lock held */
static u64
next_data(const struct vm_object *o, u64 index)
{
	u64 resident = index, away = home_next_away(o, index);

	if (in_image(o, index))
		return index;
	return radix_next(&o->pages, &resident) != NULL ? min(resident, away) : away;
}

s64
vm_object_seek(struct vm_object *o, u64 offset, bool hole)
{
	u64 index = offset >> PAGE_SHIFT, at;
	s64 result = home_page_in_all(o);

	if (result)
		return result;
	spin_lock(&o->lock);
	for (;; index++) {
		bool data = next_data(o, index) == index;

		at = max(offset, index << PAGE_SHIFT);
		if (at >= o->size || data != hole)
			break;
		if (!hole)
			index = min(next_data(o, index), page_count(o->size)) - 1;
	}
	if (hole)
		result = offset < o->size ? (s64)min(at, o->size) : -ENXIO;
	else
		result = at < o->size ? (s64)at : -ENXIO;
	spin_unlock(&o->lock);
	return result;
}
