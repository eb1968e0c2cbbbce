/*
 * Objects over physical addresses: registers of a device, and memory that somebody else owns and
 * keeps (frame buffers, the vDSO's data page). They have no tree and count no frames; a fault takes
 * the address from image_base. What is not memory of the machine is mapped uncached.
 */
#include <asm/errno.h>

#include "mm/object.h"

static int
device_get_frame(struct vm_object *o, u64 index, bool write, struct frame **out)
{
	return -EFAULT; /* there may be no struct frame at all: callers use peek */
}

static paddr_t
device_peek(struct vm_object *o, u64 index)
{
	return index < o->size >> PAGE_SHIFT ? o->image_base + (index << PAGE_SHIFT) : 0;
}

static const struct vm_object_ops device_ops = {
	.kind = "device",
	.get_frame = device_get_frame,
	.peek = device_peek,
};

struct vm_object *
vm_object_create_device(paddr_t paddr, u64 pages)
{
	struct vm_object *o = object_create(&device_ops);

	if (o == NULL)
		return NULL;
	o->image_base = paddr;
	o->size = pages << PAGE_SHIFT;
	o->uncached = !frame_exists(paddr);
	return o;
}
