/*
 * mmap.c - the address space: anonymous, file and memfd mappings, fixed
 * addresses, protection, unmapping and moving parts, advice, brk, copy on
 * write. Storms of many threads are in memstorm.c.
 */
#include "abi.h"
#include <setjmp.h>

#define PAGE 4096UL
#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static sigjmp_buf jump;

static void
on_fault(int number)
{
	siglongjmp(jump, number);
}

/* The signal that touching this address gives, or 0. */
static int
touch(volatile char *address, bool write_it)
{
	struct sigaction action = {.sa_handler = on_fault};
	int number;

	OK(sigaction(SIGSEGV, &action, NULL));
	OK(sigaction(SIGBUS, &action, NULL));
	number = sigsetjmp(jump, 1);
	if (number == 0) {
		if (write_it)
			*address = *address;
		else
			(void)*address;
	}
	return number;
}

static char *
anon(size_t size)
{
	return MAPPED(mmap(NULL, size, RW, ANON, -1, 0));
}

static int
file_of(const char *path, size_t pages)
{
	int fd = OK(open(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
	char page[PAGE];
	size_t i;

	for (i = 0; i < pages; i++) {
		memset(page, 'a' + i, PAGE);
		CHECK_EQ(write(fd, page, PAGE), PAGE);
	}
	return fd;
}

CASE(anonymous, "is fresh anonymous memory zero, page by page?")
{
	char *map = anon(1 << 20);
	size_t i;

	for (i = 0; i < 1 << 20; i += 512)
		CHECK_EQ(map[i], 0);
	memset(map, 7, 1 << 20);
	OK(munmap(map, 1 << 20));
	CHECK_EQ(touch(map, false), SIGSEGV);
	CHECK_EQ(touch(map + (1 << 20) - 1, false), SIGSEGV);
}

CASE(errors, "are bad lengths, offsets, flags and descriptors refused?")
{
	int fd = file_of("f", 1), rd = OK(open("f", O_RDONLY));
	int wr = OK(open("f", O_WRONLY));
	int pipes[2];

	OK(pipe(pipes));
	CHECK(mmap(NULL, 0, RW, ANON, -1, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 100) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, PAGE, RW, MAP_PRIVATE, 999, 0) == MAP_FAILED && errno == EBADF);
	CHECK(mmap(NULL, PAGE, RW, MAP_SHARED, rd, 0) == MAP_FAILED && errno == EACCES);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, wr, 0) == MAP_FAILED && errno == EACCES);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, pipes[0], 0) == MAP_FAILED &&
	      errno == ENODEV);
	CHECK(mmap(NULL, ~0UL - PAGE, RW, ANON, -1, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK(mmap((void *)1, PAGE, RW, ANON | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap((void *)0xffffffff80000000, PAGE, RW, ANON | MAP_FIXED, -1, 0) == MAP_FAILED &&
	      errno == ENOMEM);
	CHECK_ERR(munmap((void *)1, PAGE), EINVAL);
	CHECK_ERR(munmap((void *)PAGE, 0), EINVAL);
	CHECK_ERR(munmap((void *)0xffffffff80000000, PAGE), EINVAL);
	OK(munmap((void *)(PAGE * 64), PAGE));
	CHECK_ERR(mprotect((void *)1, PAGE, RW), EINVAL);
	CHECK_ERR(mprotect((void *)(PAGE * 64), PAGE, RW), ENOMEM);
	CHECK_ERR(mprotect(&fd, PAGE, RW), EINVAL);
}

CASE(private_file, "is a private mapping's write kept from the file?")
{
	int fd = file_of("f", 2);
	char *map = MAPPED(mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, 0)), c;

	CHECK_EQ(map[0], 'a');
	CHECK_EQ(map[PAGE], 'b');
	map[0] = 'X';
	CHECK_EQ(pread(fd, &c, 1, 0), 1);
	CHECK_EQ(c, 'a');
	/* A page not yet written shows the file's later content. */
	CHECK_EQ(pwrite(fd, "Z", 1, PAGE), 1);
	CHECK_EQ(map[PAGE], 'Z');
	CHECK_EQ(map[0], 'X');
	OK(close(fd));
	CHECK_EQ(map[1], 'a');
}

CASE(shared_file, "do a shared mapping, read and write see each other at once?")
{
	int fd = file_of("f", 2);
	char *one = MAPPED(mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0)), c;
	char *two = MAPPED(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, PAGE));

	one[5] = 'M';
	CHECK_EQ(pread(fd, &c, 1, 5), 1);
	CHECK_EQ(c, 'M');
	CHECK_EQ(pwrite(fd, "W", 1, PAGE + 9), 1);
	CHECK_EQ(one[PAGE + 9], 'W');
	CHECK_EQ(two[9], 'W');
	one[PAGE + 10] = 'N';
	CHECK_EQ(two[10], 'N');
	OK(msync(one, 2 * PAGE, MS_SYNC));
	OK(msync(one, 2 * PAGE, MS_ASYNC));
	CHECK_ERR(msync(one, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
	CHECK_ERR(msync(one + 1, PAGE, MS_SYNC), EINVAL);
	OK(munmap(two, PAGE));
	CHECK_ERR(msync(two, PAGE, MS_SYNC), ENOMEM);
}

CASE(file_end, "is the rest of the last page zero, and beyond it SIGBUS?")
{
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
	char *map, c;

	CHECK_EQ(write(fd, "hello", 5), 5);
	map = MAPPED(mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0));
	CHECK_EQ(map[4], 'o');
	CHECK_EQ(map[5], 0);
	CHECK_EQ(map[PAGE - 1], 0);
	CHECK_EQ(touch(map + PAGE, false), SIGBUS);
	OK(ftruncate(fd, PAGE + 1));
	CHECK_EQ(touch(map + PAGE, true), 0);
	map[0] = 'J';
	OK(ftruncate(fd, 0));
	CHECK_EQ(touch(map, false), SIGBUS);
	OK(ftruncate(fd, PAGE));
	CHECK_EQ(map[0], 0);
	CHECK_EQ(pread(fd, &c, 1, 0), 1);
	CHECK_EQ(c, 0);
}

CASE(file_end_private, "does a shorter file take private pages away, a forked child's too?")
{
	int fd = file_of("f", 3);
	char *map = MAPPED(mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE, fd, 0));
	struct gate shorter = gate_make(), longer = gate_make();
	struct gate wrote = gate_make(), saw = gate_make();
	pid_t pid;

	map[0] = map[PAGE] = map[2 * PAGE] = 'P';
	pid = abi_fork();
	if (pid == 0) {
		map[PAGE] = 'C';
		gate_open(&wrote);
		gate_pass(&shorter);
		CHECK_EQ(touch(map + PAGE, false), SIGBUS);
		CHECK_EQ(touch(map + 2 * PAGE, true), SIGBUS);
		CHECK_EQ(map[0], 'P');
		gate_open(&saw);
		gate_pass(&longer);
		CHECK_EQ(map[PAGE], 0);
		_exit(0);
	}
	gate_pass(&wrote);
	OK(ftruncate(fd, 100));
	gate_open(&shorter);
	CHECK_EQ(touch(map + PAGE, true), SIGBUS);
	CHECK_EQ(touch(map + 2 * PAGE, false), SIGBUS);
	CHECK_EQ(map[0], 'P');
	CHECK_EQ(map[101], 'a'); /* a copy keeps what the file lost of its page */
	gate_pass(&saw);
	OK(ftruncate(fd, 3 * PAGE));
	gate_open(&longer);
	CHECK_EQ(map[PAGE], 0);
	CHECK_EQ(map[2 * PAGE], 0);
	CHECK_EQ(abi_reap(pid), 0);
}

static void *
write_privately(void *arg)
{
	volatile char *map = arg;
	volatile unsigned i = 0;

	touch((char *)map, false);
	sigsetjmp(jump, 1);
	while (i < 3000) {
		i++;
		map[i % 8 * PAGE] = 1;
	}
	return NULL;
}

CASE(file_end_race, "is no private page left behind that was written while the file shrank?")
{
	int fd = file_of("f", 8), round;
	char *map = MAPPED(mmap(NULL, 8 * PAGE, RW, MAP_PRIVATE, fd, 0));
	size_t i;

	for (round = 0; round < 20; round++) {
		pthread_t writer;

		CHECK_EQ(pthread_create(&writer, NULL, write_privately, map), 0);
		for (i = 0; i < 40; i++) {
			OK(ftruncate(fd, 8 * PAGE));
			OK(ftruncate(fd, 0));
		}
		CHECK_EQ(pthread_join(writer, NULL), 0);
		OK(ftruncate(fd, 8 * PAGE));
		for (i = 0; i < 8 * PAGE; i++)
			CHECK_EQ(map[i], 0);
		OK(ftruncate(fd, 0));
	}
}

CASE(fixed, "does MAP_FIXED replace just the pages it covers?")
{
	char *map = anon(4 * PAGE);

	memset(map, 1, 4 * PAGE);
	CHECK(MAPPED(mmap(map + PAGE, 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0)) == map + PAGE);
	CHECK_EQ(map[0], 1);
	CHECK_EQ(map[PAGE], 0);
	CHECK_EQ(map[3 * PAGE - 1], 0);
	CHECK_EQ(map[3 * PAGE], 1);
}

CASE(fixed_noreplace, "does MAP_FIXED_NOREPLACE refuse a used address?")
{
	char *map = anon(3 * PAGE);

	CHECK(mmap(map + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED &&
	      errno == EEXIST);
	OK(munmap(map + PAGE, PAGE));
	CHECK(MAPPED(mmap(map + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0)) == map + PAGE);
}

CASE(hint, "is a free hint taken and a used one passed over?")
{
	char *map = anon(16 * PAGE), *other;

	OK(munmap(map, 16 * PAGE));
	CHECK(MAPPED(mmap(map, PAGE, RW, ANON, -1, 0)) == map);
	other = MAPPED(mmap(map, PAGE, RW, ANON, -1, 0));
	CHECK(other != map);
	other[0] = 1;
	CHECK_EQ(map[0], 0);
}

CASE(partial_unmap, "does unmapping the middle leave both ends?")
{
	char *map = anon(5 * PAGE);

	map[0] = map[4 * PAGE] = 9;
	OK(munmap(map + PAGE, 3 * PAGE));
	CHECK_EQ(map[0], 9);
	CHECK_EQ(map[4 * PAGE], 9);
	CHECK_EQ(touch(map + PAGE, false), SIGSEGV);
	CHECK_EQ(touch(map + 4 * PAGE - 1, false), SIGSEGV);
	OK(munmap(map, 5 * PAGE));
	CHECK_EQ(touch(map, false), SIGSEGV);
}

CASE(protect, "does mprotect change just its pages, and keep their data?")
{
	char *map = anon(3 * PAGE);

	memset(map, 5, 3 * PAGE);
	OK(mprotect(map + PAGE, PAGE, PROT_READ));
	CHECK_EQ(touch(map + PAGE, false), 0);
	CHECK_EQ(touch(map + PAGE, true), SIGSEGV);
	CHECK_EQ(touch(map, true), 0);
	CHECK_EQ(touch(map + 2 * PAGE, true), 0);
	OK(mprotect(map + PAGE, PAGE, PROT_NONE));
	CHECK_EQ(touch(map + PAGE, false), SIGSEGV);
	OK(mprotect(map, 3 * PAGE, RW));
	CHECK_EQ(map[PAGE], 5);
	CHECK_EQ(touch(map + PAGE, true), 0);
	OK(munmap(map + PAGE, PAGE));
	CHECK_ERR(mprotect(map, 3 * PAGE, PROT_READ), ENOMEM);
	OK(mprotect(map, 0, PROT_READ));
}

static const unsigned char code_seven[] = {0xb8, 7, 0, 0, 0, 0xc3};
static const unsigned char code_nine[] = {0xb8, 9, 0, 0, 0, 0xc3};

CASE(execute, "does code run only where PROT_EXEC is set?")
{
	char *map = anon(PAGE);
	int (*run)(void) = (int (*)(void))(uintptr_t)map;
	struct sigaction action = {.sa_handler = on_fault};

	memcpy(map, code_seven, sizeof(code_seven));
	OK(sigaction(SIGSEGV, &action, NULL));
	if (sigsetjmp(jump, 1) == 0) {
		run();
		FAIL("code ran in memory without PROT_EXEC");
	}
	OK(mprotect(map, PAGE, PROT_READ | PROT_EXEC));
	CHECK_EQ(run(), 7);
	CHECK_EQ(touch(map, true), SIGSEGV);
}

CASE(jit, "does a memfd mapped rw and rx run what is written, at once?")
{
	int fd = OK(memfd_create("jit", MFD_CLOEXEC)), i;
	char *rw, *rx;
	int (*run)(void);

	OK(ftruncate(fd, 16 * PAGE));
	rw = MAPPED(mmap(NULL, 16 * PAGE, RW, MAP_SHARED, fd, 0));
	rx = MAPPED(mmap(NULL, 16 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0));
	OK(close(fd));
	CHECK(rw != rx);
	for (i = 0; i < 16; i++) {
		run = (int (*)(void))(uintptr_t)(rx + i * PAGE);
		memcpy(rw + i * PAGE, code_seven, sizeof(code_seven));
		CHECK_EQ(run(), 7);
		memcpy(rw + i * PAGE, code_nine, sizeof(code_nine));
		CHECK_EQ(run(), 9);
	}
	CHECK_EQ(touch(rx, true), SIGSEGV);
}

CASE(memfd, "is a memfd a file: size, seals, read, write, /proc name?")
{
	int fd = OK(memfd_create("name", MFD_ALLOW_SEALING));
	struct stat st;
	char c = 0;

	OK(fstat(fd, &st));
	CHECK(S_ISREG(st.st_mode));
	CHECK_EQ(st.st_size, 0);
	CHECK_EQ(write(fd, "abc", 3), 3);
	CHECK_EQ(pread(fd, &c, 1, 1), 1);
	CHECK_EQ(c, 'b');
	CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
	OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	CHECK_ERR(ftruncate(fd, 1), EPERM);
	CHECK_ERR(ftruncate(fd, 100), EPERM);
	OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	CHECK_ERR(pwrite(fd, "x", 1, 0), EPERM);
	CHECK(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EPERM);
	CHECK_ERR(memfd_create("x", 0x8000), EINVAL);
	fd = OK(memfd_create("plain", 0));
	CHECK_ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
}

CASE(mremap, "does mremap shrink, grow in place, move, and refuse?")
{
	char *map = anon(8 * PAGE), *moved;
	size_t i;

	for (i = 0; i < 8; i++)
		map[i * PAGE] = 'a' + i;
	CHECK(mremap(map, 8 * PAGE, 4 * PAGE, 0) == map);
	CHECK_EQ(touch(map + 4 * PAGE, false), SIGSEGV);
	CHECK(mremap(map, 4 * PAGE, 6 * PAGE, 0) == map);
	CHECK_EQ(map[3 * PAGE], 'd');
	CHECK_EQ(map[5 * PAGE], 0);
	/* Something behind it: growing needs MAYMOVE. */
	MAPPED(mmap(map + 6 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0));
	OK(mprotect(map + 6 * PAGE, PAGE, PROT_READ));
	CHECK(mremap(map, 6 * PAGE, 64 * PAGE, 0) == MAP_FAILED && errno == ENOMEM);
	moved = MAPPED(mremap(map, 6 * PAGE, 64 * PAGE, MREMAP_MAYMOVE));
	CHECK(moved != map);
	CHECK_EQ(moved[0], 'a');
	CHECK_EQ(moved[3 * PAGE], 'd');
	CHECK_EQ(moved[63 * PAGE], 0);
	CHECK_EQ(touch(map, false), SIGSEGV);
	CHECK(mremap(moved + 1, PAGE, PAGE, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mremap(map, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
	CHECK(mremap(moved, PAGE, 0, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mremap(moved, PAGE, PAGE, 0x80) == MAP_FAILED && errno == EINVAL);
}

CASE(mremap_fixed, "does MREMAP_FIXED put it where asked, over what was there?")
{
	char *from = anon(2 * PAGE), *to = anon(2 * PAGE);

	from[0] = 'f';
	to[0] = 't';
	CHECK(mremap(from, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	CHECK_EQ(to[0], 'f');
	CHECK_EQ(touch(from, false), SIGSEGV);
	CHECK(mremap(to, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + PAGE) ==
		      MAP_FAILED &&
	      errno == EINVAL);
	CHECK(mremap(to, PAGE, PAGE, MREMAP_FIXED, from) == MAP_FAILED && errno == EINVAL);
}

CASE(dontneed, "does MADV_DONTNEED zero anonymous and reread file pages?")
{
	int fd = file_of("f", 1);
	char *map = anon(3 * PAGE), *file;

	memset(map, 3, 3 * PAGE);
	OK(madvise(map + PAGE, PAGE, MADV_DONTNEED));
	CHECK_EQ(map[0], 3);
	CHECK_EQ(map[PAGE], 0);
	CHECK_EQ(map[2 * PAGE], 3);
	file = MAPPED(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0));
	file[0] = 'X';
	OK(madvise(file, PAGE, MADV_DONTNEED));
	CHECK_EQ(file[0], 'a');
	OK(madvise(map, PAGE, MADV_WILLNEED));
	OK(madvise(map, PAGE, MADV_NORMAL));
	CHECK_EQ(map[0], 3);
	CHECK_ERR(madvise(map + 1, PAGE, MADV_DONTNEED), EINVAL);
	CHECK_ERR(madvise(map, PAGE, 12345), EINVAL);
	OK(munmap(map + PAGE, PAGE));
	CHECK_ERR(madvise(map, 3 * PAGE, MADV_DONTNEED), ENOMEM);
	CHECK_EQ(map[0], 0);
}

CASE(reserve_1t, "can a terabyte be reserved and used in places?")
{
	size_t size = 1UL << 40, at;
	char *map = MAPPED(mmap(NULL, size, PROT_NONE, ANON | MAP_NORESERVE, -1, 0));

	CHECK_EQ(touch(map + size / 2, false), SIGSEGV);
	for (at = 0; at < size; at += size / 8) {
		OK(mprotect(map + at, PAGE, RW));
		map[at] = 1;
		CHECK_EQ(map[at], 1);
	}
	OK(munmap(map, size));
	map = MAPPED(mmap(NULL, size, RW, ANON | MAP_NORESERVE, -1, 0));
	map[size - 1] = 2;
	map[size / 3] = 3;
	CHECK_EQ(map[size - 1] + map[size / 3], 5);
	OK(munmap(map, size));
}

CASE(brk, "does the break grow zeroed, shrink, and refuse the absurd?")
{
	char *start = (char *)syscall(SYS_brk, 0), *now;

	now = (char *)syscall(SYS_brk, start + 10 * PAGE);
	CHECK(now == start + 10 * PAGE);
	CHECK_EQ(start[9 * PAGE], 0);
	start[9 * PAGE] = 1;
	now = (char *)syscall(SYS_brk, start + PAGE);
	CHECK(now == start + PAGE);
	now = (char *)syscall(SYS_brk, start + 10 * PAGE);
	CHECK(now == start + 10 * PAGE);
	CHECK_EQ(start[9 * PAGE], 0);
	now = (char *)syscall(SYS_brk, (char *)0x7ffffffff000);
	CHECK(now == start + 10 * PAGE);
	syscall(SYS_brk, start);
}

CASE(mincore, "does mincore tell touched pages and unmapped ones?")
{
	char *map = anon(4 * PAGE);
	unsigned char in[4] = {0};

	map[PAGE] = 1;
	OK(mincore(map, 4 * PAGE, in));
	CHECK_EQ(in[1] & 1, 1);
	CHECK_EQ(in[3] & 1, 0);
	CHECK_ERR(mincore(map + 1, PAGE, in), EINVAL);
	CHECK_ERR(mincore(map, PAGE, abi_bad()), EFAULT);
	OK(munmap(map, 4 * PAGE));
	CHECK_ERR(mincore(map, PAGE, in), ENOMEM);
}

CASE(mlock, "do mlock and munlock work on what is mapped?")
{
	char *map = anon(4 * PAGE);
	unsigned char in[4] = {0};

	OK(mlock(map, 4 * PAGE));
	OK(mincore(map, 4 * PAGE, in));
	CHECK_EQ(in[0] & in[1] & in[2] & in[3] & 1, 1);
	OK(munlock(map, 4 * PAGE));
	OK(munmap(map + PAGE, PAGE));
	CHECK_ERR(mlock(map, 2 * PAGE), ENOMEM);
	CHECK_ERR(mlockall(0x100), EINVAL);
}

CASE(populate, "does MAP_POPULATE bring the pages in?")
{
	unsigned char in[4] = {0};
	char *map = MAPPED(mmap(NULL, 4 * PAGE, RW, ANON | MAP_POPULATE, -1, 0));

	OK(mincore(map, 4 * PAGE, in));
	CHECK_EQ(in[0] & in[1] & in[2] & in[3] & 1, 1);
}

CASE(fork_cow, "are pages apart after fork, whoever writes first?")
{
	size_t pages = 300, i;
	char *map = anon(pages * PAGE);
	struct gate go = gate_make();
	pid_t pid;

	for (i = 0; i < pages; i++)
		map[i * PAGE] = 1;
	pid = abi_fork();
	if (pid == 0) {
		for (i = 0; i < pages; i += 2)
			map[i * PAGE] = 2;
		gate_pass(&go);
		for (i = 0; i < pages; i++)
			CHECK_EQ(map[i * PAGE], i % 2 ? 1 : 2);
		_exit(0);
	}
	for (i = 0; i < pages; i += 3)
		map[i * PAGE] = 3;
	gate_open(&go);
	for (i = 0; i < pages; i++)
		CHECK_EQ(map[i * PAGE], i % 3 ? 1 : 3);
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(fork_shared, "is shared memory the same after fork, in both directions?")
{
	volatile int *map = abi_shared(PAGE);
	struct gate there = gate_make(), back = gate_make();
	pid_t pid = abi_fork();

	if (pid == 0) {
		gate_pass(&there);
		CHECK_EQ(map[0], 1);
		map[1] = 2;
		gate_open(&back);
		_exit(0);
	}
	map[0] = 1;
	gate_open(&there);
	gate_pass(&back);
	CHECK_EQ(map[1], 2);
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(fork_advice, "do MADV_DONTFORK and WIPEONFORK do as they say?")
{
	char *gone = anon(PAGE), *wiped = anon(PAGE);
	pid_t pid;

	gone[0] = wiped[0] = 1;
	OK(madvise(gone, PAGE, MADV_DONTFORK));
	OK(madvise(wiped, PAGE, MADV_WIPEONFORK));
	pid = abi_fork();
	if (pid == 0) {
		CHECK_EQ(wiped[0], 0);
		CHECK_EQ(touch(gone, false), SIGSEGV);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
	CHECK_EQ(gone[0] + wiped[0], 2);
}

CASE(cow_chain, "does copy on write hold over four generations?")
{
	char *map = anon(8 * PAGE);
	pid_t pid = 0;
	int level;

	for (level = 0; level < 4; level++) {
		map[level * PAGE] = 'a' + level;
		pid = abi_fork();
		if (pid != 0)
			break;
	}
	if (pid == 0)
		_exit(map[0] == 'a' && map[3 * PAGE] == 'd' ? 0 : 1);
	CHECK_EQ(abi_reap(pid), 0);
	CHECK_EQ(map[level * PAGE], 'a' + level);
	CHECK_EQ(map[(level + 1) * PAGE], 0);
	if (level > 0)
		_exit(0);
}

CASE(large, "is a 32 MiB area with 2 MiB pages whole after holes and fork?")
{
	size_t size = 32UL << 20, big = 2UL << 20, at;
	char *map = MAPPED(mmap(NULL, size + big, RW, ANON, -1, 0));
	char *start = (char *)(((uintptr_t)map + big - 1) & ~(big - 1));
	pid_t pid;

	madvise(start, size, MADV_HUGEPAGE);
	for (at = 0; at < size; at += 32768)
		start[at] = at >> 15;
	OK(munmap(start + big + PAGE, PAGE));
	OK(mprotect(start + 2 * big + 7 * PAGE, PAGE, PROT_READ));
	OK(madvise(start + 3 * big + 8 * PAGE, 8 * PAGE, MADV_DONTNEED));
	CHECK_EQ(touch(start + big + PAGE, false), SIGSEGV);
	CHECK_EQ(touch(start + 2 * big + 7 * PAGE, true), SIGSEGV);
	start[3 * big + 8 * PAGE] = 3 * big / 32768 + 1;
	pid = abi_fork();
	if (pid == 0) {
		for (at = 0; at < size; at += 32768)
			CHECK_EQ(start[at], (char)(at >> 15));
		start[0] = 99;
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
	for (at = 0; at < size; at += 32768)
		CHECK_EQ(start[at], (char)(at >> 15));
	OK(munmap(map, size + big));
}

CASE(many_maps, "do 3,000 mappings of changing protection work?")
{
	size_t pages = 3000, i;
	char *map = anon(pages * PAGE);

	for (i = 0; i < pages; i += 2)
		OK(mprotect(map + i * PAGE, PAGE, PROT_READ));
	for (i = 1; i < pages; i += 2)
		map[i * PAGE] = i;
	for (i = 0; i < pages; i++)
		CHECK_EQ(map[i * PAGE], i % 2 ? (char)i : 0);
	OK(mprotect(map, pages * PAGE, RW));
	for (i = 0; i < pages; i += 2)
		OK(munmap(map + i * PAGE, PAGE));
	OK(munmap(map, pages * PAGE));
}

CASE(read_into, "does read into fresh, shared and copy-on-write pages work?")
{
	int fd = file_of("f", 4), fd2 = file_of("g", 4);
	char *map = anon(4 * PAGE), *shared;
	pid_t pid;

	CHECK_EQ(pread(fd, map + 10, 3 * PAGE, 5), 3 * PAGE);
	CHECK_EQ(map[10], 'a');
	CHECK_EQ(map[10 + PAGE], 'b');
	pid = abi_fork();
	if (pid == 0) {
		CHECK_EQ(pread(fd, map, PAGE, 3 * PAGE), PAGE);
		_exit(map[10] == 'd' ? 0 : 1);
	}
	CHECK_EQ(abi_reap(pid), 0);
	CHECK_EQ(map[10], 'a');
	shared = MAPPED(mmap(NULL, PAGE, RW, MAP_SHARED, fd2, 0));
	CHECK_EQ(pread(fd, shared, PAGE, 2 * PAGE), PAGE);
	CHECK_EQ(pread(fd2, map, PAGE, 0), PAGE);
	CHECK_EQ(map[0], 'c');
	OK(mprotect(map, PAGE, PROT_READ));
	CHECK_ERR(pread(fd, map, 10, 0), EFAULT);
}

CASE(unlinked, "does a mapping of a removed file live on?")
{
	int fd = file_of("f", 1);
	char *map = MAPPED(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0));

	OK(unlink("f"));
	OK(close(fd));
	map[1] = 'q';
	CHECK_EQ(map[0], 'a');
	CHECK_EQ(map[1], 'q');
}

CASE(rlimit_as, "does RLIMIT_AS refuse a mapping, and the process live on?")
{
	struct rlimit limit;

	OK(getrlimit(RLIMIT_AS, &limit));
	limit.rlim_cur = 64UL << 20;
	OK(setrlimit(RLIMIT_AS, &limit));
	CHECK(mmap(NULL, 128UL << 20, RW, ANON, -1, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK(malloc(256UL << 20) == NULL);
	limit.rlim_cur = limit.rlim_max;
	OK(setrlimit(RLIMIT_AS, &limit));
}

CASE(grows_down, "does the main stack grow on touch by a megabyte?")
{
	volatile char *here = __builtin_frame_address(0);
	size_t down;

	for (down = PAGE; down < 1 << 20; down += PAGE)
		*(volatile char *)(here - down) = 1;
}
