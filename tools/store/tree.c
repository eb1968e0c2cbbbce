#include "tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "file/record.h"
#include "mm/record.h"
#include "persist/record.h"

#define LINKS_MAX 40
#define PATH_MAX_ 4096u

/* --- mounts --- */

static int
add_mount(struct tree *t, const struct tag_reader *in)
{
	struct tag_field f = {0};
	struct tree_mount m = {.root = tag_get_u64(in, AT_ROOT, 0)}, *more;

	if (tag_next(in, AT_POINT, &f)) {
		struct tag_reader place = tag_group(&f);

		m.point = tag_get_u64(&place, PLACE_DIR, 0);
	}
	if (t->mounts > 0 && !m.point)
		return 0; /* at a place that the kernel makes, such as in /proc */
	more = realloc(t->mount, (t->mounts + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	t->mount = more;
	t->mount[t->mounts++] = m;
	return 0;
}

int
tree_open(struct tree *t, struct store *s)
{
	struct record system = {0}, space = {0};
	struct tag_field f = {0};
	int err;

	*t = (struct tree){.store = s};
	err = record_read(s, ID_SYSTEM, 0, &system);
	if (err)
		return err == -ENOENT ? -ENODATA : err;
	err = record_read(s, tag_get_u64(&system.fields, S_NAMESPACE, 0), RECORD_NAMESPACE, &space);
	while (!err && tag_next(&space.fields, N_MOUNT, &f)) {
		struct tag_reader in = tag_group(&f);

		err = add_mount(t, &in);
	}
	record_free(&space);
	record_free(&system);
	if (!err && (t->mounts == 0 || !t->mount[0].root))
		err = -EBADMSG;
	if (!err)
		t->root = tree_over(t, t->mount[0].root);
	else
		tree_close(t);
	return err == -ENOENT ? -EBADMSG : err;
}

void
tree_close(struct tree *t)
{
	free(t->mount);
	*t = (struct tree){0};
}

u64
tree_over(const struct tree *t, u64 id)
{
	/* Each turn is one mount further up; one that lies and goes round ends, too. */
	for (size_t turn = 0; id && turn < t->mounts; turn++) {
		size_t i = t->mounts;

		while (i > 1 && t->mount[i - 1].point != id)
			i--;
		if (i <= 1)
			break;
		id = t->mount[i - 1].root;
	}
	return id;
}

/* --- nodes --- */

int
tree_node(const struct tree *t, u64 id, struct tree_node *n)
{
	const struct tag_reader *in;
	int err;

	*n = (struct tree_node){.id = id};
	err = record_read(t->store, id, RECORD_VNODE, &n->record);
	if (err)
		return err;
	in = &n->record.fields;
	n->mode = (u32)tag_get_u64(in, V_MODE, 0);
	n->uid = (u32)tag_get_u64(in, V_UID, 0);
	n->gid = (u32)tag_get_u64(in, V_GID, 0);
	n->nlink = (u32)tag_get_u64(in, V_NLINK, 0);
	n->atime = (s64)tag_get_u64(in, V_ATIME, 0);
	n->mtime = (s64)tag_get_u64(in, V_MTIME, 0);
	n->object = tag_get_u64(in, V_OBJECT, 0);
	return 0;
}

void
tree_node_free(struct tree_node *n)
{
	record_free(&n->record);
}

static bool
name_is_good(const char *name)
{
	return name[0] && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int
tree_next(const struct tree_node *dir, struct tag_field *f, struct tree_name *out)
{
	struct tag_reader in;

	if (!tag_next(&dir->record.fields, V_CHILD, f))
		return 0;
	in = tag_group(f);
	*out = (struct tree_name){.what = TREE_DIR, .id = tag_get_u64(&in, CHILD_DIR, 0)};
	if (!tag_get_string(&in, CHILD_NAME, out->name, sizeof(out->name)))
		return -EBADMSG;
	if (!out->id) {
		out->id = tag_get_u64(&in, CHILD_FILE, 0);
		out->what = out->id ? TREE_FILE : TREE_DEVICE;
	}
	return name_is_good(out->name) ? 1 : -EBADMSG;
}

bool
tree_text(const struct tree_node *n, char text[TREE_TEXT_MAX])
{
	return tag_get_string(&n->record.fields, V_TEXT, text, TREE_TEXT_MAX) && text[0];
}

/* --- paths --- */

/* The directories from the root to where a walk is. */
struct walk {
	const struct tree *tree;
	u64 dir[PATH_MAX_ / 2 + 1];
	unsigned depth, links;
	char path[2 * PATH_MAX_]; /* what is still to go */
	struct tree_name at;
};

static int
find_name(const struct tree *t, u64 dir, const char *name, struct tree_name *out)
{
	struct tag_field f = {0};
	struct tree_node n;
	int err = dir ? tree_node(t, dir, &n) : -ENOENT, got;

	if (err)
		return err;
	err = -ENOENT;
	while (err && (got = tree_next(&n, &f, out)) != 0)
		if (got > 0 && strcmp(out->name, name) == 0)
			err = 0;
	tree_node_free(&n);
	return err;
}

/* The link at w->at in front of what is still to go. */
static int
follow(struct walk *w, const char *rest)
{
	char text[TREE_TEXT_MAX], whole[2 * PATH_MAX_];
	struct tree_node n;
	int err = tree_node(w->tree, w->at.id, &n);

	if (!err && !tree_text(&n, text))
		err = -EBADMSG;
	tree_node_free(&n);
	if (err)
		return err;
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	if (strlen(text) + strlen(rest) + 2 > PATH_MAX_)
		return -ENAMETOOLONG;
	if (text[0] == '/')
		w->depth = 0;
	strcpy(whole, text);
	strcat(whole, "/");
	strcat(whole, rest);
	strcpy(w->path, whole);
	return 0;
}

/* A component of the path; the rest is behind it, with the slash. */
static int
step(struct walk *w, const char *name, char *rest)
{
	char left[2 * PATH_MAX_];
	struct tree_node n;
	int err;

	strcpy(left, rest);
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		if (name[1] && w->depth > 0)
			w->depth--;
		w->at = (struct tree_name){.what = TREE_DIR, .id = w->dir[w->depth]};
		strcpy(w->path, left);
		return 0;
	}
	err = find_name(w->tree, w->dir[w->depth], name, &w->at);
	if (err)
		return err;
	if (w->at.what == TREE_DIR) {
		if (w->depth + 1 >= PATH_MAX_ / 2)
			return -ENAMETOOLONG;
		w->at.id = tree_over(w->tree, w->at.id);
		w->dir[++w->depth] = w->at.id;
		strcpy(w->path, left);
		return 0;
	}
	if (!left[0]) {
		w->path[0] = 0;
		return 0;
	}
	err = w->at.what == TREE_FILE ? tree_node(w->tree, w->at.id, &n) : -ENOTDIR;
	if (err)
		return err;
	err = S_ISLNK(n.mode) ? 0 : -ENOTDIR;
	tree_node_free(&n);
	return err ? err : follow(w, left);
}

int
tree_lookup(const struct tree *t, const char *path, struct tree_name *out)
{
	struct walk *w = calloc(1, sizeof(*w));
	int err = w ? 0 : -ENOMEM;

	if (!err && strlen(path) >= PATH_MAX_)
		err = -ENAMETOOLONG;
	if (!err) {
		w->tree = t;
		w->dir[0] = t->root;
		w->at = (struct tree_name){.what = TREE_DIR, .id = t->root};
		strcpy(w->path, path);
	}
	while (!err) {
		char name[TREE_NAME_MAX + 1];
		const char *from = w->path + strspn(w->path, "/");
		size_t n = strcspn(from, "/");

		if (n == 0)
			break;
		if (n > TREE_NAME_MAX) {
			err = -ENAMETOOLONG;
			break;
		}
		memcpy(name, from, n);
		name[n] = 0;
		err = step(w, name, w->path + (from - w->path) + n);
	}
	if (!err)
		*out = w->at;
	free(w);
	return err;
}

/* --- contents --- */

int
tree_size(const struct tree *t, const struct tree_node *n, u64 *size)
{
	struct record r;
	int err;

	*size = 0;
	if (!n->object)
		return 0;
	err = record_read(t->store, n->object, RECORD_OBJECT, &r);
	if (!err)
		*size = tag_get_u64(&r.fields, OBJECT_SIZE, 0);
	record_free(&r);
	return err;
}

/* The pages of object id from `first` to `end`. */
static int
read_pages(const struct tree *t, u64 id, u64 first, u64 end, const struct tree_reader *r)
{
	u8 page[STORE_BLOCK];
	struct store_item item;
	int err = 0;
	u32 n;

	while (!err && first < end) {
		err = store_next(t->store, id, STORE_PAGE(first), &item);
		if (err == -ENOENT || (!err && (item.oid != id || item.idx >= STORE_PAGE(end))))
			return 0;
		if (err) {
			r->bad(r->arg, first, ~0ull);
			return 0;
		}
		first = item.idx - STORE_PAGE(0);
		if (store_get(t->store, id, item.idx, page, &n)) {
			r->bad(r->arg, first, 1);
		} else {
			memset(page + n, 0, sizeof(page) - n);
			err = r->page(r->arg, first, page);
		}
		first++;
	}
	return err;
}

int
tree_read(const struct tree *t, const struct tree_node *n, const struct tree_reader *reader)
{
	const u64 last = 1ull << 52;
	struct tag_field f = {0};
	struct record r;
	int err;

	if (!n->object)
		return 0;
	err = record_read(t->store, n->object, RECORD_OBJECT, &r);
	if (err)
		return err;
	err = read_pages(t, n->object, min(tag_get_u64(&r.fields, OBJECT_FIRST, 0), last),
			 min(tag_get_u64(&r.fields, OBJECT_END, 0), last), reader);
	while (!err && tag_next(&r.fields, OBJECT_PART, &f)) {
		struct tag_reader in = tag_group(&f);
		u64 first = min(tag_get_u64(&in, PART_FIRST, 0), last);
		u64 count = min(tag_get_u64(&in, PART_COUNT, 0), last);

		err = read_pages(t, tag_get_u64(&in, PART_PAGES, 0), first, first + count, reader);
	}
	record_free(&r);
	return err;
}
