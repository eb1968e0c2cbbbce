/*
 * The virtqueue against a device that does anything: it scribbles over all the ring memory it can
 * reach, between any two steps of the driver. Every cookie comes back exactly once, with no more
 * bytes than its chain had room for, and all descriptors are free at the end.
 */
#include "fuzz.h"
#include "lib/virtqueue.h"

#define SIZE	 8
#define INDIRECT 3
#define COOKIES	 4096

struct rig {
	struct virtqueue q;
	struct vq_slot slots[SIZE];
	size_t bytes;
	u8 *mem;
	struct vring_desc_k *indirect;
	u32 room[COOKIES]; /* by cookie - 1: what the device may write */
	bool out[COOKIES];
	unsigned given, back;
};

static void
rig_init(struct rig *r, u64 mode)
{
	size_t align = mode & 1 ? 4096 : 64;

	r->bytes = virtqueue_layout(SIZE, align).bytes;
	r->mem = calloc(1, r->bytes);
	r->indirect = calloc(SIZE * INDIRECT, sizeof(*r->indirect));
	CHECK(r->mem && r->indirect);
	virtqueue_init(&r->q, SIZE, r->mem, align, r->slots);
	r->q.event_idx = mode & 2;
	if (mode & 4)
		virtqueue_set_indirect(&r->q, INDIRECT, r->indirect, 0x1000);
}

static void
driver_adds(struct rig *r, struct input *in)
{
	struct vq_buf bufs[SIZE + 2];
	u64 how = take(in, 1);
	unsigned nout = how & 7, nin = how >> 3 & 3;
	u32 room = 0;

	if (r->given == COOKIES)
		return;
	for (unsigned i = 0; i < nout + nin; i++) {
		bufs[i] = (struct vq_buf){.addr = 0x1000 * i, .len = (u32)take(in, 1)};
		if (i >= nout)
			room += bufs[i].len;
	}
	if (virtqueue_add(&r->q, bufs, nout, nin, (void *)(uintptr_t)(r->given + 1)) != 0)
		return;
	CHECK(r->q.free_count <= SIZE);
	r->room[r->given] = room;
	r->out[r->given++] = true;
}

static void
comes_back(struct rig *r, void *cookie, u32 len)
{
	uintptr_t n = (uintptr_t)cookie;

	CHECK(n >= 1 && n <= r->given && r->out[n - 1]);
	CHECK(len <= r->room[n - 1]);
	r->out[n - 1] = false;
	r->back++;
}

static void
driver_gets(struct rig *r)
{
	u32 len = 0;
	void *cookie = virtqueue_get(&r->q, &len);

	if (cookie)
		comes_back(r, cookie, len);
}

/* The device completes something, more or less as it should. */
static void
device_uses(struct rig *r, struct input *in)
{
	volatile struct vring_used_elem_k *ring =
		(volatile struct vring_used_elem_k *)(volatile void *)&r->q.used[2];
	u16 idx = r->q.used[1];

	ring[idx & (SIZE - 1)].id = (u32)take(in, 1) % (SIZE + 1);
	ring[idx & (SIZE - 1)].len = (u32)take(in, 2);
	r->q.used[1] = (u16)(idx + 1);
}

static void
step(struct rig *r, struct input *in)
{
	switch (take(in, 1) % 8) {
	case 0:
	case 1:
		driver_adds(r, in);
		break;
	case 2:
		driver_gets(r);
		break;
	case 3:
	case 4:
		device_uses(r, in);
		break;
	case 5:
		r->mem[take(in, 2) % r->bytes] = (u8)take(in, 1);
		break;
	case 6:
		virtqueue_need_kick(&r->q);
		virtqueue_cb_off(&r->q);
		break;
	default:
		if (virtqueue_cb_on(&r->q))
			CHECK(virtqueue_pending(&r->q));
		virtqueue_cb_on_delayed(&r->q);
	}
}

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = {data, size};
	struct rig *r = calloc(1, sizeof(*r));
	void *cookie;

	CHECK(r);
	rig_init(r, take(&in, 1));
	while (in.left > 0)
		step(r, &in);
	while ((cookie = virtqueue_detach(&r->q)))
		comes_back(r, cookie, 0);
	CHECK(r->back == r->given && r->q.free_count == SIZE);
	free(r->indirect);
	free(r->mem);
	free(r);
	return 0;
}
