/*
 * The tree of files that `holdfast store export` reads, over records that say whatever they like
 * with right hashes: every walk ends, nothing but whole names comes out, no path leads out of it.
 *
 * Input: any number of {object, 1 byte; index, 1 byte; length, 2 bytes; bytes}. Index 200 and more
 * are pages. store_get and store_next are a table of these.
 */
#include <errno.h>

#include "../../tools/store/tree.h"
#include "fuzz.h"
#include "persist/record.h"

#define ITEMS_MAX 256
#define PAGE_FROM 200

static struct {
	u64 oid, idx;
	const u8 *data;
	u32 length;
} item[ITEMS_MAX];
static unsigned items;

int
store_get(struct store *s, u64 oid, u64 idx, void *buf, u32 *length)
{
	for (unsigned i = 0; i < items; i++)
		if (item[i].oid == oid && item[i].idx == idx) {
			memcpy(buf, item[i].data, item[i].length);
			*length = item[i].length;
			return item[i].length ? 0 : -EBADMSG;
		}
	return -ENOENT;
}

int
store_next(struct store *s, u64 oid, u64 idx, struct store_item *out)
{
	bool found = false;

	for (unsigned i = 0; i < items; i++) {
		u64 o = item[i].oid, x = item[i].idx;

		if (o < oid || (o == oid && x < idx) ||
		    (found && (o > out->oid || (o == out->oid && x >= out->idx))))
			continue;
		*out = (struct store_item){.oid = o, .idx = x, .length = (u16)item[i].length};
		found = true;
	}
	if (found && out->length == 1)
		return -EBADMSG;
	return found ? 0 : -ENOENT;
}

static void
read_items(struct input *in)
{
	for (items = 0; in->left > 4 && items < ITEMS_MAX; items++) {
		u64 idx;

		item[items].oid = STORE_OID_USER + take(in, 1);
		idx = take(in, 1);
		item[items].idx = idx < PAGE_FROM ? idx : STORE_PAGE(idx - PAGE_FROM);
		item[items].length = (u32)min(take(in, 2) % (STORE_BLOCK + 1), in->left);
		item[items].data = in->data;
		in->data += item[items].length;
		in->left -= item[items].length;
	}
}

static int
page(void *arg, u64 index, const u8 *data)
{
	touch(data, STORE_BLOCK);
	return index == 7 ? -EINTR : 0;
}

static void
bad(void *arg, u64 index, u64 count)
{
	CHECK(count == 1 || count == ~0ull);
}

static void
use_node(struct tree *t, u64 id)
{
	const struct tree_reader reader = {page, bad, NULL};
	char text[TREE_TEXT_MAX];
	struct tag_field f = {0};
	struct tree_name name;
	struct tree_node n;
	u64 size;
	int got;

	if (tree_node(t, id, &n) == 0) {
		while ((got = tree_next(&n, &f, &name)) != 0)
			if (got > 0)
				CHECK(name.name[0] && !strchr(name.name, '/') &&
				      strcmp(name.name, "..") != 0);
		if (tree_text(&n, text))
			CHECK(strlen(text) < sizeof(text));
		(void)!tree_size(t, &n, &size);
		(void)!tree_read(t, &n, &reader);
	}
	tree_node_free(&n);
	(void)tree_over(t, id);
}

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const char *const paths[] = {"/", "a", "/a/b", "a/../a/", "l/x", "./l/", "a//b/c"};
	struct input in = {data, size};
	struct tree_name name;
	struct tree t;

	read_items(&in);
	if (tree_open(&t, NULL))
		return 0;
	for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		(void)!tree_lookup(&t, paths[i], &name);
	for (u64 id = 0; id < 256; id++)
		use_node(&t, STORE_OID_USER + id);
	tree_close(&t);
	return 0;
}
