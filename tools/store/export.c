/*
 * Files out of a store. The directories are gone through one after the other, outermost first, each
 * opened by walking down from the target with no symbolic link followed: what a store says cannot
 * lead out of the folder. A directory is entered once, so one that lies and holds itself ends, too.
 * Modes and times of directories come last, innermost first.
 */
#include "export.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tree.h"

#define DEPTH_MAX 10000u

struct place { /* a directory of the target */
	size_t parent;
	unsigned depth;
	char *name;
	u64 id;	   /* whose names go in; 0: none */
	u64 looks; /* whose mode and times it gets */
};

struct exporting {
	struct tree tree;
	const char *from; /* the path, for messages */
	int top;
	bool force, said_owner;
	struct place *place;
	size_t places, room;
	struct id_map entered, links;
	char **link; /* by number: the place and name of the first name of a file with more */
	size_t *link_place, nlinks;
	u64 files, bytes, faults; /* names but directories; written */
	time_t said;
};

struct out { /* a regular file being written */
	struct exporting *e;
	const char *name;
	size_t place;
	int fd;
	u64 size, bad_first, bad_count;
	bool over; /* pages of zeros are written, too */
};

static void *
need(void *p)
{
	if (!p) {
		fprintf(stderr, "holdfast-store: no memory\n");
		exit(2);
	}
	return p;
}

/* --- what is said --- */

void
print_name(const char *text)
{
	for (const u8 *c = (const u8 *)text; *c; c++)
		if (*c < 32 || *c == 127 || *c == '\\')
			printf("\\%03o", *c);
		else
			putchar(*c);
}

static void
print_place(const struct exporting *e, size_t at)
{
	if (at == 0) {
		print_name(e->from);
		return;
	}
	print_place(e, e->place[at].parent);
	putchar('/');
	print_name(e->place[at].name);
}

static void
print_path(const struct exporting *e, size_t at, const char *name)
{
	print_place(e, at);
	if (!name && at == 0 && !e->from[0])
		putchar('/');
	if (name) {
		putchar('/');
		print_name(name);
	}
}

static void
fault(struct exporting *e, size_t at, const char *name, const char *why)
{
	printf("fault ");
	print_path(e, at, name);
	printf(": %s\n", why);
	e->faults++;
}

static const char *
damage(int err)
{
	return err == -EIO ? "the disk cannot be read" : "its record is damaged";
}

static void
progress(struct exporting *e)
{
	time_t now = time(NULL);

	if (now == e->said)
		return;
	e->said = now;
	printf("progress %" PRIu64 " %" PRIu64 "\n", e->files, e->bytes);
	fflush(stdout);
}

/* --- places --- */

/* The directory, opened. -1 with errno. */
static int
place_open(const struct exporting *e, size_t at)
{
	int parent, fd;

	if (at == 0)
		return fcntl(e->top, F_DUPFD_CLOEXEC, 0);
	parent = place_open(e, e->place[at].parent);
	if (parent < 0)
		return -1;
	fd = openat(parent, e->place[at].name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	close(parent);
	return fd;
}

static void
place_add(struct exporting *e, size_t parent, const char *name, u64 id, u64 looks)
{
	if (e->places == e->room) {
		e->room = e->room ? e->room * 2 : 64;
		e->place = need(realloc(e->place, e->room * sizeof(*e->place)));
	}
	e->place[e->places] = (struct place){parent, e->places ? e->place[parent].depth + 1 : 0,
					     need(strdup(name)), id, looks};
	e->places++;
}

/* --- attributes --- */

static struct timespec
moment(s64 ns)
{
	s64 s = ns / 1000000000, rest = ns % 1000000000;

	return (struct timespec){rest < 0 ? s - 1 : s, rest < 0 ? rest + 1000000000 : rest};
}

/* Of `name` in folder fd, not of what a link leads to. */
static void
set_attributes(struct exporting *e, int fd, const char *name, const struct tree_node *n)
{
	const struct timespec times[2] = {moment(n->atime), moment(n->mtime)};
	mode_t mode = n->mode & 07777;
	struct stat st;
	int bad = fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW);

	if (!bad && (st.st_uid != n->uid || st.st_gid != n->gid) &&
	    fchownat(fd, name, n->uid, n->gid, AT_SYMLINK_NOFOLLOW)) {
		if (!e->said_owner)
			printf("note owners are not kept: that needs root\n");
		e->said_owner = true;
		mode &= ~(mode_t)(S_ISUID | S_ISGID);
	}
	if (!S_ISLNK(n->mode))
		bad |= fchmodat(fd, name, mode, 0);
	bad |= utimensat(fd, name, times, AT_SYMLINK_NOFOLLOW);
	if (bad) {
		printf("note ");
		print_name(name);
		printf(": mode and times are not kept: %s\n", strerror(errno));
	}
}

/* --- files --- */

static bool
is_zero(const u8 *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

static int
write_page(void *arg, u64 index, const u8 *data)
{
	struct out *o = arg;
	u64 at = index * STORE_BLOCK;
	size_t n;

	if (at >= o->size)
		return 0;
	n = (size_t)min(o->size - at, (u64)STORE_BLOCK);
	if (!o->over && is_zero(data, n))
		return 0;
	if (pwrite(o->fd, data, n, (off_t)at) != (ssize_t)n)
		return errno ? -errno : -ENOSPC;
	o->e->bytes += n;
	progress(o->e);
	return 0;
}

static void
bad_pages(void *arg, u64 index, u64 count)
{
	struct out *o = arg;

	if (index * STORE_BLOCK >= o->size)
		return;
	if (o->bad_count == 0)
		o->bad_first = index;
	o->bad_count = count == ~0ull ? count : o->bad_count + (o->bad_count != ~0ull);
}

static void
say_bad_pages(const struct out *o)
{
	struct exporting *e = o->e;

	printf("fault ");
	print_path(e, o->place, o->name);
	if (o->bad_count == ~0ull)
		printf(": what is behind %" PRIu64 " is damaged", o->bad_first * STORE_BLOCK);
	else
		printf(": %" PRIu64 " bytes are damaged, the first at %" PRIu64,
		       min(o->bad_count * STORE_BLOCK, o->size), o->bad_first * STORE_BLOCK);
	printf("; zeros are in their place\n");
	e->faults++;
}

static void
write_contents(struct out *o, const struct tree_node *n)
{
	const struct tree_reader reader = {write_page, bad_pages, o};
	struct exporting *e = o->e;
	int err = tree_size(&e->tree, n, &o->size);

	if (err) {
		fault(e, o->place, o->name, damage(err));
		return;
	}
	errno = 0;
	if (o->size > INT64_MAX || ftruncate(o->fd, (off_t)o->size)) {
		fault(e, o->place, o->name, errno ? strerror(errno) : "its size makes no sense");
		return;
	}
	err = tree_read(&e->tree, n, &reader);
	if (err)
		fault(e, o->place, o->name, strerror(-err));
	if (o->bad_count)
		say_bad_pages(o);
}

/* Runs `make`, once more if a file there gave way. */
static int
make_name(const struct exporting *e, int dir, const char *name,
	  int (*make)(int, const char *, void *), void *arg)
{
	int got = make(dir, name, arg);

	if (got < 0 && errno == EEXIST && e->force && unlinkat(dir, name, 0) == 0)
		got = make(dir, name, arg);
	return got;
}

static int
make_file(int dir, const char *name, void *arg)
{
	return openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static int
make_link(int dir, const char *name, void *arg)
{
	return symlinkat(arg, dir, name);
}

static int
make_fifo(int dir, const char *name, void *arg)
{
	return mkfifoat(dir, name, 0600);
}

struct other_name {
	int dir;
	const char *name;
};

static int
make_other_name(int dir, const char *name, void *arg)
{
	const struct other_name *o = arg;

	return linkat(o->dir, o->name, dir, name, 0);
}

static void
export_regular(struct exporting *e, size_t at, int dir, const char *name, const struct tree_node *n)
{
	struct out o = {.e = e, .name = name, .place = at};

	o.fd = make_name(e, dir, name, make_file, NULL);
	if (o.fd < 0) {
		fault(e, at, name, strerror(errno));
		return;
	}
	write_contents(&o, n);
	if (close(o.fd))
		fault(e, at, name, strerror(errno));
	set_attributes(e, dir, name, n);
}

static void
export_special(struct exporting *e, size_t at, int dir, const char *name, const struct tree_node *n)
{
	char text[TREE_TEXT_MAX];
	bool link = S_ISLNK(n->mode);

	if (!link && !S_ISFIFO(n->mode)) {
		const char *what = S_ISSOCK(n->mode)			  ? "a socket"
				   : S_ISCHR(n->mode) || S_ISBLK(n->mode) ? "a device"
									  : NULL;

		if (!what) {
			fault(e, at, name, "its record is damaged");
			return;
		}
		printf("note ");
		print_path(e, at, name);
		printf(": left out, it is %s\n", what);
		return;
	}
	if (link && !tree_text(n, text))
		fault(e, at, name, "its record is damaged");
	else if (make_name(e, dir, name, link ? make_link : make_fifo, text) < 0)
		fault(e, at, name, strerror(errno));
	else
		set_attributes(e, dir, name, n);
}

/* Another name of a file that was written: true, the name is there. The first name is noted. */
static bool
export_link(struct exporting *e, size_t at, int dir, const char *name, const struct tree_node *n)
{
	struct other_name other;
	u64 number = e->nlinks;
	int done;

	if (id_map_add(&e->links, n->id, &number)) {
		e->link = need(realloc(e->link, (e->nlinks + 1) * sizeof(*e->link)));
		e->link_place =
			need(realloc(e->link_place, (e->nlinks + 1) * sizeof(*e->link_place)));
		e->link[e->nlinks] = need(strdup(name));
		e->link_place[e->nlinks++] = at;
		return false;
	}
	other = (struct other_name){place_open(e, e->link_place[number]), e->link[number]};
	if (other.dir < 0)
		return false;
	done = make_name(e, dir, name, make_other_name, &other);
	close(other.dir);
	return done == 0;
}

static void
export_file(struct exporting *e, size_t at, int dir, const char *name, u64 id)
{
	struct tree_node n;
	int err = tree_node(&e->tree, id, &n);

	if (err)
		fault(e, at, name, damage(err));
	else if (S_ISDIR(n.mode))
		fault(e, at, name, "its record is damaged");
	else if (n.nlink < 2 || !export_link(e, at, dir, name, &n))
		(S_ISREG(n.mode) ? export_regular : export_special)(e, at, dir, name, &n);
	tree_node_free(&n);
	e->files++;
	progress(e);
}

/* --- directories --- */

static void
export_directory(struct exporting *e, size_t at, int dir, const char *name, u64 id)
{
	u64 over = tree_over(&e->tree, id), unused = 0;
	struct stat st;

	if (over && !id_map_add(&e->entered, over, &unused)) {
		fault(e, at, name, "a directory that is in two places: damaged");
		return;
	}
	if (e->place[at].depth == DEPTH_MAX) {
		fault(e, at, name, "too deep");
		return;
	}
	if (mkdirat(dir, name, 0700) &&
	    !(errno == EEXIST && e->force && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	      S_ISDIR(st.st_mode))) {
		fault(e, at, name, strerror(errno));
		return;
	}
	place_add(e, at, name, over, over ? over : id);
}

static void
export_names(struct exporting *e, size_t at, int dir, const struct tree_node *n)
{
	struct tag_field f = {0};
	struct tree_name name;
	int got;

	while ((got = tree_next(n, &f, &name)) != 0) {
		if (got < 0)
			fault(e, at, NULL, "a name in it is damaged");
		else if (name.what == TREE_DIR)
			export_directory(e, at, dir, name.name, name.id);
		else if (name.what == TREE_FILE)
			export_file(e, at, dir, name.name, name.id);
	}
}

static void
export_place(struct exporting *e, size_t at)
{
	struct tree_node n;
	int dir, err;

	if (!e->place[at].id)
		return;
	err = tree_node(&e->tree, e->place[at].id, &n);
	dir = err ? -1 : place_open(e, at);
	if (err || !S_ISDIR(n.mode))
		fault(e, at, NULL, damage(err));
	else if (dir < 0)
		fault(e, at, NULL, strerror(errno));
	else
		export_names(e, at, dir, &n);
	if (dir >= 0)
		close(dir);
	tree_node_free(&n);
}

/* What it looks like, now that nothing is put into it any more. */
static void
finish_place(struct exporting *e, size_t at)
{
	const struct place *p = &e->place[at];
	int dir = at ? place_open(e, p->parent) : fcntl(e->top, F_DUPFD_CLOEXEC, 0);
	struct tree_node n;

	if (dir >= 0 && tree_node(&e->tree, p->looks, &n) == 0) {
		set_attributes(e, dir, at ? p->name : ".", &n);
		tree_node_free(&n);
	}
	if (dir >= 0)
		close(dir);
}

static void
export_all(struct exporting *e, u64 id)
{
	u64 unused = 0;

	(void)id_map_add(&e->entered, id, &unused);
	place_add(e, 0, "", id, id);
	for (size_t at = 0; at < e->places; at++)
		export_place(e, at);
	for (size_t at = e->places; at-- > 0;)
		finish_place(e, at);
}

/* --- the target --- */

static bool
is_empty(const char *folder)
{
	const struct dirent *d;
	DIR *list = opendir(folder);
	unsigned names = 0;

	while (list && (d = readdir(list)) != NULL)
		names += strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
	if (list)
		closedir(list);
	return list && names == 0;
}

static void
refuse(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
}

/* The folder, made if there is none. -1: refused, and said so. */
static int
open_target(const char *to, bool force)
{
	bool made = mkdir(to, 0777) == 0;
	int fd = made || errno == EEXIST ? open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd < 0) {
		refuse(to, strerror(errno));
	} else if (!made && !force && !is_empty(to)) {
		refuse(to, "the folder is not empty (--force writes into it)");
		close(fd);
		fd = -1;
	}
	return fd;
}

static const char *
reason(int err)
{
	switch (-err) {
	case ENODATA:
		return "nothing has been committed yet";
	case EBADMSG:
		return "the way to it is damaged";
	case ENODEV:
		return "the kernel makes it at each start; it is not on the disk";
	default:
		return strerror(-err);
	}
}

static void
export_free(struct exporting *e)
{
	for (size_t i = 0; i < e->places; i++)
		free(e->place[i].name);
	for (size_t i = 0; i < e->nlinks; i++)
		free(e->link[i]);
	free(e->place);
	free(e->link);
	free(e->link_place);
	id_map_free(&e->entered);
	id_map_free(&e->links);
	tree_close(&e->tree);
}

int export(struct store *s, const char *path, const char *to, bool force)
{
	struct exporting e = {.from = strcmp(path, "/") == 0 ? "" : path, .force = force};
	int err = tree_open(&e.tree, s);
	struct tree_name what;

	if (!err)
		err = tree_lookup(&e.tree, path, &what);
	if (!err && (what.what == TREE_DEVICE || !what.id))
		err = -ENODEV;
	if (err) {
		export_free(&e);
		refuse(path, reason(err));
		return 3;
	}
	e.top = open_target(to, force);
	if (e.top < 0) {
		export_free(&e);
		return 2;
	}
	if (what.what == TREE_DIR) {
		export_all(&e, what.id);
	} else {
		place_add(&e, 0, "", 0, 0);
		e.from = "";
		export_file(&e, 0, e.top, what.name, what.id);
	}
	close(e.top);
	printf("done %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", e.files, e.bytes, e.faults);
	err = e.faults > 0;
	export_free(&e);
	return err;
}
