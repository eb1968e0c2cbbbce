/* Split virtqueues: does the bookkeeping hold when the device behaves, and when it does not? */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "lib/string.h"
#include "lib/virtqueue.h"

#define SIZE 16

struct rig {
	struct virtqueue q;
	struct vq_slot slots[SIZE];
	u8 *mem;
	struct vring_desc_k *indirect;
	u16 seen; /* the device's place in the avail ring */
};

static void
rig_init(struct rig *r, u16 indirect)
{
	size_t bytes = virtqueue_layout(SIZE, 64).bytes;

	memset(r, 0, sizeof(*r));
	r->mem = calloc(1, bytes);
	virtqueue_init(&r->q, SIZE, r->mem, 64, r->slots);
	if (indirect) {
		r->indirect = calloc((size_t)SIZE * indirect, sizeof(*r->indirect));
		virtqueue_set_indirect(&r->q, indirect, r->indirect, (u64)(uintptr_t)r->indirect);
	}
}

static void
rig_free(struct rig *r)
{
	free(r->mem);
	free(r->indirect);
}

static void
device_uses(struct rig *r, u32 id, u32 len)
{
	volatile struct vring_used_elem_k *e =
		(volatile struct vring_used_elem_k *)(volatile void *)&r->q.used[2];

	e[r->q.used[1] & (SIZE - 1)].id = id;
	e[r->q.used[1] & (SIZE - 1)].len = len;
	r->q.used[1]++;
}

static u16
device_takes(struct rig *r)
{
	return r->q.avail[2 + (r->seen++ & (SIZE - 1))];
}

static void
buffers_come_back_in_any_order(void **state)
{
	struct vq_buf b[3] = {{0x1000, 10}, {0x2000, 20}, {0x3000, 30}};
	struct rig r;
	int cookies[4];
	u32 len;

	rig_init(&r, 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(virtqueue_add(&r.q, b, 1, 2, &cookies[i]), 0);
	assert_int_equal(r.q.free_count, SIZE - 12);
	u16 h[4] = {device_takes(&r), device_takes(&r), device_takes(&r), device_takes(&r)};
	device_uses(&r, h[2], 5);
	device_uses(&r, h[0], 500);
	assert_ptr_equal(virtqueue_get(&r.q, &len), &cookies[2]);
	assert_int_equal(len, 5);
	assert_ptr_equal(virtqueue_get(&r.q, &len), &cookies[0]);
	assert_int_equal(len, 50); /* not more than it could write */
	assert_null(virtqueue_get(&r.q, &len));
	assert_int_equal(r.q.free_count, SIZE - 6);
	rig_free(&r);
}

static void
a_full_ring_says_so_and_indirect_tables_save_room(void **state)
{
	struct vq_buf b[4] = {{1, 1}, {2, 2}, {3, 3}, {4, 4}};
	struct rig r;

	rig_init(&r, 4);
	for (int i = 0; i < SIZE; i++)
		assert_int_equal(virtqueue_add(&r.q, b, 2, 2, &r), 0);
	assert_int_equal(virtqueue_add(&r.q, b, 2, 2, &r), -28);
	assert_int_equal(r.q.desc[0].flags, VQ_DESC_INDIRECT);
	assert_int_equal(r.indirect[2].flags, VQ_DESC_NEXT | VQ_DESC_WRITE);
	assert_int_equal(r.indirect[3].flags, VQ_DESC_WRITE);
	rig_free(&r);
}

static void
kicks_and_interrupts_follow_event_idx(void **state)
{
	struct vq_buf b = {1, 1};
	struct rig r;

	rig_init(&r, 0);
	r.q.event_idx = true;
	assert_int_equal(virtqueue_add(&r.q, &b, 1, 0, &r), 0);
	assert_true(virtqueue_need_kick(&r.q)); /* avail_event is 0 */
	assert_false(virtqueue_need_kick(&r.q));
	assert_int_equal(virtqueue_add(&r.q, &b, 1, 0, &r), 0);
	assert_false(virtqueue_need_kick(&r.q)); /* the device looks anyway */
	r.q.used[2 + SIZE * 4] = 2;
	assert_int_equal(virtqueue_add(&r.q, &b, 1, 0, &r), 0);
	assert_true(virtqueue_need_kick(&r.q));
	assert_false(virtqueue_cb_on(&r.q));
	device_uses(&r, 0, 0);
	assert_true(virtqueue_cb_on(&r.q));
	rig_free(&r);
}

static void
a_lying_device_breaks_the_queue_and_nothing_else(void **state)
{
	struct vq_buf b = {1, 1};
	struct rig r;
	u32 len;

	srand(1);
	for (int round = 0; round < 20000; round++) {
		int got = 0, given = 0;

		rig_init(&r, round & 1 ? 4 : 0);
		r.q.event_idx = round & 2;
		for (int step = 0; step < 60; step++) {
			switch (rand() % 4) {
			case 0:
				given += virtqueue_add(&r.q, &b, 0, 1, &r) == 0;
				break;
			case 1:
				device_uses(&r, (u32)rand() % (rand() % 8 ? SIZE : SIZE * 2),
					    (u32)rand());
				break;
			case 2:
				if (virtqueue_get(&r.q, &len)) {
					assert_in_range(len, 0, 1);
					got++;
				}
				break;
			default:
				if (rand() % 16 == 0)
					r.q.used[1] = (u16)rand();
				virtqueue_need_kick(&r.q);
				virtqueue_cb_on_delayed(&r.q);
			}
		}
		while (virtqueue_detach(&r.q))
			got++;
		assert_int_equal(got, given); /* every cookie comes back exactly once */
		assert_int_equal(r.q.free_count, SIZE);
		rig_free(&r);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers_come_back_in_any_order),
		cmocka_unit_test(a_full_ring_says_so_and_indirect_tables_save_room),
		cmocka_unit_test(kicks_and_interrupts_follow_event_idx),
		cmocka_unit_test(a_lying_device_breaks_the_queue_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
