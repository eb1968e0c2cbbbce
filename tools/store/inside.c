/*
 * What is in an epoch, for `holdfast store info`: its processes, and the tree of files.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "export.h"
#include "mm/record.h"
#include "persist/record.h"
#include "proc/record.h"
#include "tree.h"

#define COMM_MAX 64

/* Ids that are still to be looked at, each once. */
struct todo {
	struct id_map seen;
	u64 *id;
	size_t taken, used, room;
};

static void
todo_add(struct todo *t, u64 id)
{
	u64 unused = 0;

	if (!id || !id_map_add(&t->seen, id, &unused))
		return;
	if (t->used == t->room) {
		t->room = t->room ? t->room * 2 : 64;
		t->id = realloc(t->id, t->room * sizeof(*t->id));
		if (!t->id) {
			fprintf(stderr, "holdfast-store: no memory\n");
			exit(2);
		}
	}
	t->id[t->used++] = id;
}

static void
todo_free(struct todo *t)
{
	id_map_free(&t->seen);
	free(t->id);
}

static void
broken(const char *what, u64 id)
{
	printf("broken %s %" PRIu64 " cannot be read\n", what, id);
}

/* --- processes --- */

/* Bytes of anonymous memory that object id shows. */
static u64
object_bytes(struct store *s, u64 id)
{
	struct tag_field f = {0};
	struct record r;
	u64 pages = 0;

	if (record_read(s, id, RECORD_OBJECT, &r))
		return 0; /* the vDSO, or damaged: the caller's map says so when it is used */
	if (tag_get_u64(&r.fields, OBJECT_KIND, OBJECT_FILE) == OBJECT_ANON) {
		pages = tag_get_u64(&r.fields, OBJECT_PAGES, 0);
		while (tag_next(&r.fields, OBJECT_PART, &f)) {
			struct tag_reader in = tag_group(&f);

			pages += tag_get_u64(&in, PART_COUNT, 0);
		}
	}
	record_free(&r);
	return pages * STORE_BLOCK;
}

static u64
map_bytes(struct store *s, u64 id)
{
	struct todo objects = {0};
	struct tag_field f = {0};
	struct record r;
	u64 bytes = 0;

	if (record_read(s, id, RECORD_MAP, &r)) {
		broken("address space", id);
		return 0;
	}
	while (tag_next(&r.fields, MAP_MAPPING, &f)) {
		struct tag_reader in = tag_group(&f);

		todo_add(&objects, tag_get_u64(&in, AREA_OBJECT, 0));
		todo_add(&objects, tag_get_u64(&in, AREA_ANON, 0));
	}
	while (objects.taken < objects.used)
		bytes += object_bytes(s, objects.id[objects.taken++]);
	todo_free(&objects);
	record_free(&r);
	return bytes;
}

static void
one_process(struct store *s, u64 id, struct todo *processes)
{
	char name[COMM_MAX] = "?";
	struct tag_field f = {0};
	struct record r;
	u64 map;

	if (record_read(s, id, RECORD_PROCESS, &r)) {
		broken("process", id);
		return;
	}
	map = tag_get_u64(&r.fields, P_MAP, 0);
	(void)tag_get_string(&r.fields, P_COMM, name, sizeof(name));
	printf("process %" PRIu64 " %" PRIu64 " ", tag_get_u64(&r.fields, P_PID, 0),
	       map ? map_bytes(s, map) : 0);
	print_name(name);
	printf("%s\n", tag_get_u64(&r.fields, P_FLAGS, 0) & F_ZOMBIE ? " (zombie)" : "");
	while (tag_next(&r.fields, P_CHILD, &f))
		todo_add(processes, tag_field_u64(&f));
	record_free(&r);
}

/* False: nothing was committed, or it cannot be read. */
static bool
all_processes(struct store *s)
{
	struct todo processes = {0};
	struct record r;
	int err = record_read(s, ID_SYSTEM, 0, &r);

	if (err) {
		if (err != -ENOENT)
			broken("the system's record,", ID_SYSTEM);
		return false;
	}
	if (tag_get_u64(&r.fields, S_ENDED, 0))
		printf("ended\n");
	todo_add(&processes, tag_get_u64(&r.fields, S_INIT, 0));
	while (processes.taken < processes.used)
		one_process(s, processes.id[processes.taken++], &processes);
	todo_free(&processes);
	record_free(&r);
	return true;
}

/* --- files --- */

struct sums {
	u64 files, bytes;
};

static void
one_file(struct tree *t, u64 id, struct sums *sums)
{
	struct tree_node n;
	u64 size = 0;

	if (tree_node(t, id, &n) || (S_ISREG(n.mode) && tree_size(t, &n, &size)))
		broken("file", id);
	else
		sums->files++;
	sums->bytes += size;
	tree_node_free(&n);
}

static void
one_directory(struct tree *t, u64 id, struct todo *todo, struct todo *files)
{
	struct tag_field f = {0};
	struct tree_name name;
	struct tree_node n;
	int got = 1;

	if (tree_node(t, id, &n))
		broken("directory", id);
	while (got && (got = tree_next(&n, &f, &name)) != 0) {
		if (got > 0 && name.what == TREE_DIR)
			todo_add(todo, tree_over(t, name.id));
		else if (got > 0 && name.what == TREE_FILE)
			todo_add(files, name.id);
	}
	tree_node_free(&n);
}

static void
all_files(struct store *s)
{
	struct todo directories = {0}, files = {0};
	struct sums sums = {0};
	struct tree t;

	if (tree_open(&t, s)) {
		broken("the name space, object", ID_SYSTEM);
		return;
	}
	todo_add(&directories, t.root);
	while (directories.taken < directories.used)
		one_directory(&t, directories.id[directories.taken++], &directories, &files);
	while (files.taken < files.used)
		one_file(&t, files.id[files.taken++], &sums);
	printf("files %" PRIu64 " %" PRIu64 "\n", sums.files, sums.bytes);
	todo_free(&directories);
	todo_free(&files);
	tree_close(&t);
}

void
inside(struct store *s)
{
	if (all_processes(s))
		all_files(s);
}
