/*
 * Files out of stores that lie: records with right hashes that hold themselves, names that lead out
 * of the folder, contents that are not there. Everything else comes out, each lie is one fault.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../tools/store/export.h"
#include "../../tools/store/tree.h"
#include "file/record.h"
#include "mm/record.h"
#include "persist/record.h"
#include "store_disk.h"

void assert_failed(const char *expr, const char *file, int line);

void
assert_failed(const char *expr, const char *file, int line)
{
	fail_msg("%s:%d: %s", file, line, expr);
}

enum { SPACE = ID_FIRST, ROOT, A, B, C, OBJECT, OBJECT_B, LINK };

struct fixture {
	struct tdisk disk;
	struct store *store;
	char folder[32];
	struct tag_writer w;
};

static void *
grow(void *old, size_t length, size_t room)
{
	return realloc(old, room);
}

static int
setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	static const u8 uuid[16] = "export";

	tdisk_init(&x->disk, STORE_MIN_BLOCKS);
	assert_int_equal(store_format(&tdisk_ops, &x->disk, x->disk.blocks, uuid, 0), 0);
	assert_int_equal(
		store_open(&tdisk_ops, &x->disk, x->disk.blocks, &(struct store_how){0}, &x->store),
		0);
	x->w.grow = grow;
	strcpy(x->folder, "/tmp/export-XXXXXX");
	assert_non_null(mkdtemp(x->folder));
	*state = x;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *x = *state;
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", x->folder);
	(void)!system(command);
	store_close(x->store);
	tdisk_done(&x->disk);
	free(x->w.buf);
	free(x);
	return 0;
}

/* What is in the writer is the record of object id. */
static void
put(struct fixture *x, u64 id, u16 kind)
{
	struct record_head head = {kind, RECORD_VERSION, (u32)x->w.length};
	u8 block[STORE_BLOCK];

	assert_true(sizeof(head) + x->w.length <= STORE_BLOCK);
	memcpy(block, &head, sizeof(head));
	memcpy(block + sizeof(head), x->w.buf, x->w.length);
	assert_int_equal(store_put(x->store, id, 0, block, (u32)(sizeof(head) + x->w.length)), 0);
	tag_reset(&x->w);
}

static void
child(struct fixture *x, u16 tag, const char *name, u64 id)
{
	size_t group = tag_begin(&x->w, V_CHILD);

	tag_string(&x->w, CHILD_NAME, name);
	tag_u64(&x->w, tag, id);
	tag_end(&x->w, group);
}

static void
put_system(struct fixture *x)
{
	size_t group;

	tag_u64(&x->w, S_NAMESPACE, SPACE);
	put(x, ID_SYSTEM, ID_SYSTEM);
	group = tag_begin(&x->w, N_MOUNT);
	tag_u64(&x->w, AT_ROOT, ROOT);
	tag_end(&x->w, group);
	put(x, SPACE, RECORD_NAMESPACE);
}

static void
put_file(struct fixture *x, u64 id, u64 object, u64 size)
{
	tag_u64(&x->w, V_MODE, S_IFREG | 0644);
	tag_u64(&x->w, V_OBJECT, object);
	put(x, id, RECORD_VNODE);
	tag_u64(&x->w, OBJECT_KIND, OBJECT_FILE);
	tag_u64(&x->w, OBJECT_SIZE, size);
	tag_u64(&x->w, OBJECT_END, 1ull << 40);
	put(x, object, RECORD_OBJECT);
	assert_int_equal(store_put(x->store, object, STORE_PAGE(0), "right", 5), 0);
}

/* => returns the exit status, and counts the names in the folder that it wrote to */
static int
export_all(struct fixture *x, unsigned *names)
{
	const struct store_note note = {0};
	char to[64];
	struct dirent *d;
	u64 epoch;
	int status;
	DIR *list;

	assert_int_equal(store_commit(x->store, &note, &epoch), 0);
	snprintf(to, sizeof(to), "%s/to", x->folder);
	status = export(x->store, "/", to, false);
	*names = 0;
	list = opendir(to);
	while (list && (d = readdir(list)) != NULL)
		*names += d->d_name[0] != '.';
	if (list)
		closedir(list);
	return status;
}

static void
begin_directory(struct fixture *x)
{
	tag_u64(&x->w, V_MODE, S_IFDIR | 0755);
}

static bool
has(const struct fixture *x, const char *name, off_t size)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", x->folder, name);
	return lstat(path, &st) == 0 && (size < 0 || st.st_size == size);
}

/* a directory that holds itself, and the root */
static void
test_round(void **state)
{
	struct fixture *x = *state;
	unsigned names;

	put_system(x);
	begin_directory(x);
	child(x, CHILD_DIR, "a", A);
	child(x, CHILD_DIR, "again", A);
	child(x, CHILD_FILE, "b", B);
	put(x, ROOT, RECORD_VNODE);
	begin_directory(x);
	child(x, CHILD_DIR, "a", A);
	child(x, CHILD_DIR, "root", ROOT);
	put(x, A, RECORD_VNODE);
	put_file(x, B, OBJECT, 5);
	assert_int_equal(export_all(x, &names), 1);
	assert_int_equal(names, 2);
	assert_true(has(x, "to/b", 5));
}

/* names that lead elsewhere */
static void
test_names(void **state)
{
	struct fixture *x = *state;
	unsigned names;

	put_system(x);
	begin_directory(x);
	child(x, CHILD_FILE, "../out", B);
	child(x, CHILD_FILE, "..", B);
	child(x, CHILD_DIR, ".", A);
	child(x, CHILD_FILE, "", B);
	child(x, CHILD_FILE, "good", B);
	put(x, ROOT, RECORD_VNODE);
	put_file(x, B, OBJECT, 5);
	assert_int_equal(export_all(x, &names), 1);
	assert_int_equal(names, 1);
	assert_true(has(x, "to/good", 5));
	assert_false(has(x, "out", -1));
}

/* a link out of the folder, and a directory of the same name with a file in it */
static void
test_link_out(void **state)
{
	struct fixture *x = *state;
	unsigned names;

	put_system(x);
	begin_directory(x);
	child(x, CHILD_FILE, "a", LINK);
	child(x, CHILD_DIR, "a", A);
	child(x, CHILD_FILE, "a", B);
	put(x, ROOT, RECORD_VNODE);
	tag_u64(&x->w, V_MODE, S_IFLNK | 0777);
	tag_string(&x->w, V_TEXT, "..");
	put(x, LINK, RECORD_VNODE);
	begin_directory(x);
	child(x, CHILD_FILE, "out", B);
	put(x, A, RECORD_VNODE);
	put_file(x, B, OBJECT, 5);
	assert_int_equal(export_all(x, &names), 1);
	assert_int_equal(names, 1);
	assert_false(has(x, "out", -1));
}

/* records that are missing, of another kind, or make no sense */
static void
test_records(void **state)
{
	struct fixture *x = *state;
	unsigned names;

	put_system(x);
	begin_directory(x);
	child(x, CHILD_FILE, "missing", 9999);
	child(x, CHILD_FILE, "space", SPACE);
	child(x, CHILD_DIR, "file", B);
	child(x, CHILD_FILE, "directory", ROOT);
	child(x, CHILD_FILE, "huge", C);
	child(x, CHILD_FILE, "good", B);
	put(x, ROOT, RECORD_VNODE);
	put_file(x, B, OBJECT, 4096);
	put_file(x, C, OBJECT_B, ~0ull);
	assert_int_equal(export_all(x, &names), 1);
	assert_true(has(x, "to/good", 4096));
	assert_false(has(x, "to/missing", -1));
	assert_false(has(x, "to/space", -1));
	assert_false(has(x, "to/directory", -1));
}

/* a store without a system, or a root */
static void
test_nothing(void **state)
{
	struct fixture *x = *state;
	unsigned names;

	assert_int_equal(export_all(x, &names), 3);
	tag_u64(&x->w, S_NAMESPACE, B);
	put(x, ID_SYSTEM, ID_SYSTEM);
	assert_int_equal(export_all(x, &names), 3);
	assert_false(has(x, "to", -1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_link_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_records, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
