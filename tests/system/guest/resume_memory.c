/*
 * resume_memory.c - private memory that several areas and processes have parts of, with checkpoints
 * (sync) between the steps: each write has to be in the next one, whoever else shows the page.
 */
#include "resume.h"

enum { page = 4096, low = 64, all = 256, more = 160 };

static void
stamp(char *at, int first, int end, char version)
{
	for (int i = first; i < end; i++)
		memset(at + (size_t)i * page, version + i % 16, page);
}

static bool
is_stamped(const char *at, int first, int end, char version)
{
	for (int i = first; i < end; i++)
		for (int k = 0; k < page; k += 97)
			if (at[(size_t)i * page + k] != (char)(version + i % 16))
				return false;
	return true;
}

/* After a checkpoint the first write to a page takes a fault, which may allow it for those around:
 * these are not written yet. */
static void
touch_some(char *at, int first, int end)
{
	for (int i = first; i < end; i += 8)
		at[(size_t)i * page] = 0;
}

/* Two areas with a gap between them that were one: pages [0, low) and [2 * low, all). */
static char *
two_of_one(void)
{
	char *p =
		mmap(NULL, all * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	stamp(p, 0, all, 1);
	CHECK(munmap(p + low * page, low * page) == 0);
	return p;
}

/* One area needs more room than there is before the other's pages, and goes its own way: the other
 * is written on as before. */
CASE(an_area_that_grows_leaves_the_other_one_alone)
{
	char *p = two_of_one(), *moved;

	sync();
	touch_some(p, 2 * low, all);
	moved = mremap(p, low * page, more * page, MREMAP_MAYMOVE);
	CHECK(moved != MAP_FAILED);
	sync();
	sync();
	stamp(p, 2 * low, all, 40);
	stamp(moved, low - 8, more, 80);
	cut();
	CHECK(is_stamped(p, 2 * low, all, 40));
	CHECK(is_stamped(moved, 0, low - 8, 1));
	CHECK(is_stamped(moved, low - 8, more, 80));
}

static void
tell(int fd)
{
	CHECK(write(fd, "x", 1) == 1);
}

static void
hear(int fd)
{
	char c;

	CHECK(read(fd, &c, 1) == 1);
}

/* A child that has become the only one to show pages, and writes them, while its parent takes its
 * other pages of the same memory away. */
CASE(a_parent_that_writes_leaves_its_childs_pages_alone)
{
	int down[2], up[2], status;
	char *p = two_of_one();
	pid_t child;

	CHECK(pipe(down) == 0 && pipe(up) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		hear(down[0]);
		stamp(p, 2 * low, all, 40);
		sync();
		touch_some(p, 2 * low, all);
		tell(up[1]);
		hear(down[0]);
		stamp(p, 2 * low, all, 60);
		tell(up[1]);
		hear(down[0]);
		CHECK(is_stamped(p, 0, low, 1) && is_stamped(p, 2 * low, all, 60));
		_exit(0);
	}
	stamp(p, 2 * low, all, 20);
	tell(down[1]);
	hear(up[0]);
	stamp(p, 0, low, 30);
	sync();
	sync();
	tell(down[1]);
	hear(up[0]);
	cut();
	CHECK(is_stamped(p, 0, low, 30) && is_stamped(p, 2 * low, all, 20));
	tell(down[1]);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
}
