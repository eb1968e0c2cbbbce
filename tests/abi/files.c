/*
 * files.c - regular files: open flags, reading and writing, holes, sizes,
 * attributes, locks, descriptors. Names and directories are in paths.c.
 */
#include "abi.h"
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <utime.h>

static int
make(const char *path, const char *text)
{
	int fd = OK(open(path, O_RDWR | O_CREAT | O_TRUNC, 0644));

	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	OK(lseek(fd, 0, SEEK_SET));
	return fd;
}

static long
size_of(const char *path)
{
	struct stat st;

	OK(stat(path, &st));
	return st.st_size;
}

static bool
holds(const char *path, const char *text)
{
	char buffer[4096];
	int fd = OK(open(path, O_RDONLY));
	ssize_t got = OK(read(fd, buffer, sizeof(buffer)));

	close(fd);
	return (size_t)got == strlen(text) && memcmp(buffer, text, got) == 0;
}

CASE(create, "does O_CREAT make a file with mode and umask, once with O_EXCL?")
{
	struct stat st;
	int fd;

	umask(027);
	fd = OK(open("f", O_RDWR | O_CREAT | O_EXCL, 0666));
	OK(fstat(fd, &st));
	CHECK_EQ(st.st_mode, S_IFREG | 0640);
	CHECK_EQ(st.st_nlink, 1);
	CHECK_EQ(st.st_size, 0);
	CHECK_EQ(st.st_uid, geteuid());
	CHECK_ERR(open("f", O_RDWR | O_CREAT | O_EXCL, 0666), EEXIST);
	OK(symlink("nowhere", "l"));
	CHECK_ERR(open("l", O_RDWR | O_CREAT | O_EXCL, 0666), EEXIST);
	CHECK_EQ(umask(022), 027);
}

CASE(truncate_flag, "does O_TRUNC empty the file, and O_APPEND write at its end?")
{
	int fd = make("f", "0123456789"), other;

	close(fd);
	fd = OK(open("f", O_WRONLY | O_APPEND));
	other = OK(open("f", O_WRONLY));
	CHECK_EQ(write(fd, "ab", 2), 2);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 12);
	OK(lseek(fd, 0, SEEK_SET));
	CHECK_EQ(write(fd, "cd", 2), 2);
	CHECK_EQ(write(other, "XY", 2), 2);
	CHECK(holds("f", "XY23456789abcd"));
	OK(open("f", O_WRONLY | O_TRUNC));
	CHECK_EQ(size_of("f"), 0);
	CHECK_EQ(write(fd, "z", 1), 1);
	CHECK(holds("f", "z"));
}

CASE(access_modes, "is a read-only descriptor not writable and the other way?")
{
	char c;
	int rd, wr;

	close(make("f", "text"));
	rd = OK(open("f", O_RDONLY));
	wr = OK(open("f", O_WRONLY));
	CHECK_ERR(write(rd, "x", 1), EBADF);
	CHECK_ERR(read(wr, &c, 1), EBADF);
	CHECK_ERR(ftruncate(rd, 0), EINVAL);
	CHECK_EQ(fcntl(rd, F_GETFL) & O_ACCMODE, O_RDONLY);
	CHECK_EQ(fcntl(wr, F_GETFL) & O_ACCMODE, O_WRONLY);
	CHECK_ERR(read(999, &c, 1), EBADF);
	CHECK_ERR(write(-1, &c, 1), EBADF);
	CHECK_ERR(close(999), EBADF);
	OK(close(rd));
	CHECK_ERR(close(rd), EBADF);
}

CASE(special_flags, "do O_DIRECTORY, O_NOFOLLOW, O_CLOEXEC and O_PATH hold?")
{
	struct stat st;
	char c;
	int fd;

	close(make("f", "text"));
	OK(symlink("f", "l"));
	OK(mkdir("d", 0755));
	CHECK_ERR(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
	OK(close(OK(open("d", O_RDONLY | O_DIRECTORY))));
	CHECK_ERR(open("d", O_WRONLY), EISDIR);
	CHECK_ERR(open("d", O_RDWR | O_CREAT, 0600), EISDIR);
	CHECK_ERR(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
	OK(close(OK(open("l", O_RDONLY))));
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	OK(fcntl(fd, F_SETFD, 0));
	CHECK_EQ(fcntl(fd, F_GETFD), 0);
	fd = OK(open("f", O_PATH));
	CHECK_ERR(read(fd, &c, 1), EBADF);
	CHECK_ERR(fchmod(fd, 0600), EBADF);
	OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 4);
	fd = OK(open("l", O_PATH | O_NOFOLLOW));
	OK(fstat(fd, &st));
	CHECK(S_ISLNK(st.st_mode));
	fd = OK(open("d", O_RDONLY));
	CHECK_ERR(read(fd, &c, 1), EISDIR);
	CHECK_ERR(open("f", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
}

CASE(tmpfile, "is an O_TMPFILE nameless until linked?")
{
	char path[64];
	struct stat st;
	int fd = OK(open(".", O_TMPFILE | O_RDWR, 0600));

	CHECK_EQ(write(fd, "temp", 4), 4);
	OK(fstat(fd, &st));
	CHECK_EQ(st.st_nlink, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	OK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	CHECK(holds("named", "temp"));
	CHECK_ERR(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
}

CASE(positions, "do pread and pwrite leave the offset, and lseek check itself?")
{
	int fd = make("f", "0123456789"), pipes[2];
	char text[4] = "";

	CHECK_EQ(pread(fd, text, 3, 4), 3);
	CHECK(memcmp(text, "456", 3) == 0);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	CHECK_EQ(pwrite(fd, "ab", 2, 8), 2);
	CHECK_EQ(pread(fd, text, 3, 10), 0);
	CHECK_EQ(pread(fd, text, 3, 9), 1);
	CHECK_ERR(pread(fd, text, 3, -1), EINVAL);
	CHECK_ERR(pwrite(fd, text, 3, -1), EINVAL);
	CHECK_EQ(lseek(fd, -3, SEEK_END), 7);
	CHECK_EQ(lseek(fd, 2, SEEK_CUR), 9);
	CHECK_ERR(lseek(fd, -20, SEEK_CUR), EINVAL);
	CHECK_ERR(lseek(fd, 0, 99), EINVAL);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 9);
	CHECK_EQ(lseek(fd, 1000, SEEK_SET), 1000);
	CHECK_EQ(read(fd, text, 3), 0);
	OK(pipe(pipes));
	CHECK_ERR(lseek(pipes[0], 0, SEEK_CUR), ESPIPE);
	CHECK_ERR(pread(pipes[0], text, 1, 0), ESPIPE);
	CHECK_ERR(lseek(999, 0, SEEK_SET), EBADF);
}

CASE(vectors, "do readv and writev gather, stop at the end, and check?")
{
	char a[3], b[4], c[100];
	struct iovec in[3] = {{a, 3}, {b, 4}, {c, 100}};
	struct iovec out[3] = {{"ab", 2}, {NULL, 0}, {"cdefgh", 6}};
	int fd = make("f", "");

	CHECK_EQ(writev(fd, out, 3), 8);
	CHECK(holds("f", "abcdefgh"));
	OK(lseek(fd, 0, SEEK_SET));
	CHECK_EQ(readv(fd, in, 3), 8);
	CHECK(memcmp(a, "abc", 3) == 0 && memcmp(b, "defg", 4) == 0 && c[0] == 'h');
	CHECK_EQ(preadv(fd, in, 1, 5), 3);
	CHECK(memcmp(a, "fgh", 3) == 0);
	CHECK_EQ(pwritev(fd, out, 1, 6), 2);
	CHECK(holds("f", "abcdefab"));
	CHECK_ERR(readv(fd, in, -1), EINVAL);
	CHECK_ERR(readv(fd, in, 1025), EINVAL);
	CHECK_EQ(readv(fd, in, 0), 0);
	in[0].iov_len = (size_t)-1;
	CHECK_ERR(readv(fd, in, 1), EINVAL);
	CHECK_ERR(writev(fd, abi_bad(), 1), EFAULT);
	in[0].iov_len = 3;
	CHECK_EQ(preadv2(fd, in, 1, 0, 0), 3);
	CHECK_ERR(preadv2(fd, in, 1, 0, 0x4000), EOPNOTSUPP);
}

CASE(holes, "are holes zero, cheap, and found by SEEK_HOLE and SEEK_DATA?")
{
	int fd = make("f", "");
	struct stat st;
	char buffer[4096];
	off_t data;
	size_t i;

	CHECK_EQ(pwrite(fd, "x", 1, 1 << 20), 1);
	OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, (1 << 20) + 1);
	CHECK(st.st_blocks * 512 < 1 << 20);
	CHECK_EQ(pread(fd, buffer, sizeof(buffer), 1 << 19), sizeof(buffer));
	for (i = 0; i < sizeof(buffer); i++)
		CHECK_EQ(buffer[i], 0);
	CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 0);
	data = OK(lseek(fd, 0, SEEK_DATA));
	CHECK_EQ(data, 1 << 20);
	CHECK_EQ(lseek(fd, 1 << 20, SEEK_HOLE), (1 << 20) + 1);
	CHECK_ERR(lseek(fd, 1 << 21, SEEK_DATA), ENXIO);
	CHECK_ERR(lseek(fd, 1 << 21, SEEK_HOLE), ENXIO);
	CHECK_EQ(pwrite(fd, "far", 3, 1L << 36), 3);
	OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, (1L << 36) + 3);
}

CASE(truncate, "does truncate cut, grow with zeros, and refuse?")
{
	int fd = make("f", "0123456789");
	char text[10];

	OK(truncate("f", 4));
	OK(ftruncate(fd, 8));
	CHECK_EQ(read(fd, text, 10), 8);
	CHECK(memcmp(text, "0123\0\0\0\0", 8) == 0);
	CHECK_ERR(ftruncate(fd, -1), EINVAL);
	CHECK_ERR(truncate("missing", 0), ENOENT);
	CHECK_ERR(truncate(".", 0), EISDIR);
	CHECK_ERR(ftruncate(999, 0), EBADF);
}

CASE(stat_fields, "do stat, fstat, lstat, fstatat and statx agree?")
{
	int fd = make("f", "12345");
	struct stat a, b, c;
	struct statx x;

	OK(chmod("f", 0604));
	OK(symlink("f", "l"));
	OK(stat("l", &a));
	OK(fstat(fd, &b));
	CHECK(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	CHECK_EQ(a.st_mode, S_IFREG | 0604);
	CHECK_EQ(a.st_size, 5);
	CHECK(a.st_blksize >= 512);
	OK(lstat("l", &c));
	CHECK(S_ISLNK(c.st_mode));
	CHECK_EQ(c.st_size, 1);
	CHECK(c.st_ino != a.st_ino);
	OK(fstatat(AT_FDCWD, "l", &c, AT_SYMLINK_NOFOLLOW));
	CHECK(S_ISLNK(c.st_mode));
	OK(fstatat(fd, "", &c, AT_EMPTY_PATH));
	CHECK_EQ(c.st_ino, a.st_ino);
	CHECK_ERR(fstatat(fd, "", &c, 0), ENOENT);
	CHECK_ERR(fstatat(fd, "x", &c, 0), ENOTDIR);
	CHECK_ERR(fstatat(AT_FDCWD, "f", &c, 0x8000000), EINVAL);
	memset(&x, 0, sizeof(x));
	OK(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &x));
	CHECK_EQ(x.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
	CHECK_EQ(x.stx_ino, a.st_ino);
	CHECK_EQ(x.stx_mode, S_IFREG | 0604);
	CHECK_EQ(x.stx_size, 5);
	CHECK_EQ(x.stx_nlink, 1);
	CHECK_EQ(x.stx_mtime.tv_sec, a.st_mtim.tv_sec);
	CHECK_EQ(makedev(x.stx_dev_major, x.stx_dev_minor), a.st_dev);
	CHECK_ERR(stat("missing", &a), ENOENT);
	CHECK_ERR(stat("", &a), ENOENT);
}

CASE(times, "do utimensat and writes set the times, and now and omit work?")
{
	struct timespec when[2] = {{1000, 5}, {2000, 7}};
	int fd = make("f", "text");
	struct stat st;

	OK(utimensat(AT_FDCWD, "f", when, 0));
	OK(stat("f", &st));
	CHECK_EQ(st.st_atim.tv_sec, 1000);
	CHECK_EQ(st.st_atim.tv_nsec, 5);
	CHECK_EQ(st.st_mtim.tv_sec, 2000);
	CHECK_EQ(st.st_mtim.tv_nsec, 7);
	CHECK(st.st_ctim.tv_sec > 2000);
	when[0].tv_nsec = UTIME_OMIT;
	when[1].tv_nsec = UTIME_NOW;
	OK(futimens(fd, when));
	OK(fstat(fd, &st));
	CHECK_EQ(st.st_atim.tv_sec, 1000);
	CHECK(st.st_mtim.tv_sec > 2000);
	when[0].tv_nsec = when[1].tv_nsec = 3;
	OK(futimens(fd, when));
	CHECK_EQ(write(fd, "x", 1), 1);
	OK(fstat(fd, &st));
	CHECK(st.st_mtim.tv_sec > 2000);
	when[0].tv_nsec = 1000000000;
	CHECK_ERR(futimens(fd, when), EINVAL);
	CHECK_ERR(utimensat(AT_FDCWD, "missing", NULL, 0), ENOENT);
}

CASE(modes, "do chmod, access and chown work, and bind an ordinary user?")
{
	int fd = make("f", "text");
	struct stat st;
	pid_t pid;

	OK(fchmod(fd, 04751));
	OK(stat("f", &st));
	CHECK_EQ(st.st_mode & 07777, 04751);
	OK(chmod("f", 0600));
	OK(access("f", R_OK | W_OK));
	CHECK_ERR(access("f", X_OK), EACCES);
	CHECK_ERR(access("missing", F_OK), ENOENT);
	CHECK_ERR(access("f", 0x100), EINVAL);
	OK(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
	OK(chown("f", -1, -1));
	if (geteuid() != 0)
		return;
	OK(chown("f", 12, 34));
	OK(stat("f", &st));
	CHECK(st.st_uid == 12 && st.st_gid == 34);
	OK(chmod(".", 0755));
	pid = abi_fork();
	if (pid == 0) {
		OK(setresgid(65534, 65534, 65534));
		OK(setresuid(65534, 65534, 65534));
		CHECK_ERR(open("f", O_RDONLY), EACCES);
		CHECK_ERR(open("new", O_WRONLY | O_CREAT, 0600), EACCES);
		CHECK_ERR(chmod("f", 0777), EPERM);
		CHECK_ERR(chown("f", 1, 1), EPERM);
		CHECK_ERR(unlink("f"), EACCES);
		CHECK_ERR(access("f", R_OK), EACCES);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(unlinked_open, "does an open file live on after unlink?")
{
	int fd = make("f", "text");
	struct stat st;
	char text[4];

	OK(unlink("f"));
	CHECK_ERR(stat("f", &(struct stat){0}), ENOENT);
	OK(fstat(fd, &st));
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(pread(fd, text, 4, 0), 4);
	CHECK_EQ(pwrite(fd, "more", 4, 4), 4);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 8);
	close(make("f", "new"));
	CHECK_EQ(pread(fd, text, 4, 4), 4);
	CHECK(memcmp(text, "more", 4) == 0);
}

CASE(dups, "do dup, dup2, dup3 and F_DUPFD share the offset and flags?")
{
	int fd = make("f", "0123456789"), other, low;
	char c;

	other = OK(dup(fd));
	CHECK_EQ(read(fd, &c, 1), 1);
	CHECK_EQ(read(other, &c, 1), 1);
	CHECK_EQ(c, '1');
	CHECK_EQ(dup2(fd, 77), 77);
	CHECK_EQ(read(77, &c, 1), 1);
	CHECK_EQ(c, '2');
	CHECK_EQ(dup2(fd, fd), fd);
	CHECK_ERR(dup3(fd, fd, 0), EINVAL);
	CHECK_EQ(dup3(fd, 78, O_CLOEXEC), 78);
	CHECK_EQ(fcntl(78, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(77, F_GETFD), 0);
	CHECK_ERR(dup3(fd, 79, 0x40), EINVAL);
	CHECK_EQ(fcntl(fd, F_DUPFD, 200), 200);
	CHECK_EQ(fcntl(fd, F_DUPFD_CLOEXEC, 200), 201);
	CHECK_ERR(dup(999), EBADF);
	CHECK_ERR(dup2(999, 3), EBADF);
	CHECK_ERR(dup2(fd, -1), EBADF);
	CHECK_ERR(dup2(fd, 1 << 28), EBADF);
	CHECK_ERR(fcntl(fd, F_DUPFD, 1 << 28), EINVAL);
	low = OK(dup(fd));
	OK(close(low));
	CHECK_EQ(dup(fd), low);
	OK(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
	CHECK_EQ(fcntl(other, F_GETFL) & (O_APPEND | O_NONBLOCK), O_APPEND | O_NONBLOCK);
	CHECK_ERR(fcntl(fd, 12345), EINVAL);
}

CASE(close_range, "does close_range close just the range, or mark it?")
{
	int fd = make("f", "");

	dup2(fd, 50);
	dup2(fd, 51);
	dup2(fd, 52);
	dup2(fd, 53);
	OK(syscall(SYS_close_range, 51, 52, 0));
	CHECK_EQ(fcntl(50, F_GETFD), 0);
	CHECK_ERR(fcntl(51, F_GETFD), EBADF);
	CHECK_ERR(fcntl(52, F_GETFD), EBADF);
	OK(syscall(SYS_close_range, 53, ~0U, 1U << 2));
	CHECK_EQ(fcntl(53, F_GETFD), FD_CLOEXEC);
	CHECK_ERR(syscall(SYS_close_range, 53, 52, 0), EINVAL);
	CHECK_ERR(syscall(SYS_close_range, 53, 54, 0x100), EINVAL);
	OK(syscall(SYS_close_range, 53, ~0U, 0));
	CHECK_ERR(fcntl(53, F_GETFD), EBADF);
}

CASE(many_open, "can a thousand descriptors be open, and the limit be hit?")
{
	struct rlimit limit;
	int fd = make("f", "x"), i, first, last = -1;

	OK(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 1024;
	OK(setrlimit(RLIMIT_NOFILE, &limit));
	first = OK(dup(fd));
	for (i = first + 1; (last = dup(fd)) >= 0; i++)
		CHECK_EQ(last, i);
	CHECK_EQ(errno, EMFILE);
	CHECK_EQ(i, 1024);
	CHECK_ERR(open("f", O_RDONLY), EMFILE);
	for (i = first; i < 1024; i++)
		OK(close(i));
}

CASE(flocks, "do flock locks exclude other opens, and go with the last close?")
{
	int a = make("f", ""), b = OK(open("f", O_RDWR)), c;

	OK(flock(a, LOCK_SH));
	OK(flock(b, LOCK_SH | LOCK_NB));
	CHECK_ERR(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	OK(flock(a, LOCK_UN));
	OK(flock(b, LOCK_EX | LOCK_NB));
	CHECK_ERR(flock(a, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	c = OK(dup(b));
	OK(close(b));
	CHECK_ERR(flock(a, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	OK(close(c));
	OK(flock(a, LOCK_EX | LOCK_NB));
	CHECK_ERR(flock(a, 0), EINVAL);
	CHECK_ERR(flock(999, LOCK_SH), EBADF);
}

static int
lock_region(int fd, int command, short type, off_t start, off_t length)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};

	return fcntl(fd, command, &lock);
}

CASE(record_locks, "do fcntl locks exclude other processes by region?")
{
	int fd = make("f", "0123456789");
	struct flock query = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	pid_t pid;

	OK(lock_region(fd, F_SETLK, F_WRLCK, 2, 3));
	OK(lock_region(fd, F_SETLK, F_RDLCK, 3, 1));
	pid = abi_fork();
	if (pid == 0) {
		OK(fcntl(fd, F_GETLK, &query));
		CHECK_EQ(query.l_type, F_WRLCK);
		CHECK_EQ(query.l_start, 2);
		CHECK_EQ(query.l_len, 1);
		CHECK_EQ(query.l_pid, getppid());
		CHECK(lock_region(fd, F_SETLK, F_WRLCK, 3, 1) == -1 &&
		      (errno == EAGAIN || errno == EACCES));
		OK(lock_region(fd, F_SETLK, F_RDLCK, 3, 1));
		OK(lock_region(fd, F_SETLK, F_WRLCK, 5, 0));
		OK(lock_region(fd, F_SETLK, F_WRLCK, 0, 2));
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 0);
	OK(fcntl(fd, F_GETLK, &query));
	CHECK_EQ(query.l_type, F_UNLCK);
	/* Closing any descriptor of the file drops the process's locks. */
	OK(close(OK(open("f", O_RDONLY))));
	pid = abi_fork();
	if (pid == 0)
		_exit(lock_region(fd, F_SETLK, F_WRLCK, 0, 0) == 0 ? 0 : 1);
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(lock_waits, "does F_SETLKW wait until the other process lets go?")
{
	int fd = make("f", ""), *order = abi_shared(4096);
	struct gate held = gate_make(), go = gate_make();
	pid_t pid = abi_fork();

	if (pid == 0) {
		OK(lock_region(fd, F_SETLKW, F_WRLCK, 0, 0));
		gate_open(&held);
		gate_pass(&go);
		order[0] = 1;
		_exit(0);
	}
	gate_pass(&held);
	gate_open(&go);
	OK(lock_region(fd, F_SETLKW, F_WRLCK, 0, 0));
	CHECK_EQ(order[0], 1);
	CHECK_EQ(abi_reap(pid), 0);
}

CASE(description_locks, "do open file description locks bind opens, not processes?")
{
	int a = make("f", ""), b = OK(open("f", O_RDWR));

	OK(lock_region(a, F_OFD_SETLK, F_WRLCK, 0, 0));
	CHECK_ERR(lock_region(b, F_OFD_SETLK, F_WRLCK, 0, 0), EAGAIN);
	OK(lock_region(a, F_OFD_SETLK, F_UNLCK, 0, 0));
	OK(lock_region(b, F_OFD_SETLK, F_WRLCK, 0, 0));
}

CASE(sendfile, "does sendfile copy, with and without an offset?")
{
	int in = make("in", "0123456789"), out = make("out", ""), pipes[2];
	off_t offset = 3;
	char text[8];

	CHECK_EQ(sendfile(out, in, &offset, 4), 4);
	CHECK_EQ(offset, 7);
	CHECK_EQ(lseek(in, 0, SEEK_CUR), 0);
	CHECK_EQ(sendfile(out, in, NULL, 2), 2);
	CHECK_EQ(lseek(in, 0, SEEK_CUR), 2);
	CHECK(holds("out", "345601"));
	OK(pipe(pipes));
	CHECK_EQ(sendfile(pipes[1], in, NULL, 100), 8);
	CHECK_EQ(read(pipes[0], text, 8), 8);
	CHECK(memcmp(text, "23456789", 8) == 0);
	CHECK_EQ(sendfile(out, in, NULL, 100), 0);
	CHECK_ERR(sendfile(out, 999, NULL, 1), EBADF);
}

CASE(copy_range, "does copy_file_range copy between offsets?")
{
	int in = make("in", "0123456789"), out = make("out", "abcdef");
	loff_t from = 5, to = 2;

	CHECK_EQ(copy_file_range(in, &from, out, &to, 3, 0), 3);
	CHECK(from == 8 && to == 5);
	CHECK(holds("out", "ab567f"));
	from = 100;
	CHECK_EQ(copy_file_range(in, &from, out, &to, 3, 0), 0);
	CHECK_ERR(copy_file_range(in, NULL, out, NULL, 3, 1), EINVAL);
	CHECK_ERR(copy_file_range(in, NULL, 999, NULL, 3, 0), EBADF);
}

CASE(fallocate, "does fallocate grow, keep the size, and punch holes?")
{
	int fd = make("f", "");
	char text[3];

	OK(fallocate(fd, 0, 0, 8192));
	CHECK_EQ(size_of("f"), 8192);
	OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 8192, 8192));
	CHECK_EQ(size_of("f"), 8192);
	CHECK_EQ(pwrite(fd, "abcdefgh", 8, 4096), 8);
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4098, 3));
	CHECK_EQ(pread(fd, text, 3, 4097), 3);
	CHECK(memcmp(text, "b\0\0", 3) == 0);
	CHECK_ERR(fallocate(fd, 0, -1, 1), EINVAL);
	CHECK_ERR(fallocate(fd, 0, 0, 0), EINVAL);
	CHECK_ERR(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 1), EOPNOTSUPP);
	OK(posix_fallocate(fd, 0, 10000));
	CHECK_EQ(size_of("f"), 10000);
}

CASE(sync_calls, "do fsync, fdatasync, sync_file_range and fadvise accept files?")
{
	int fd = make("f", "text"), pipes[2];

	OK(fsync(fd));
	OK(fdatasync(fd));
	OK(syncfs(fd));
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL), 0);
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	CHECK_EQ(posix_fadvise(fd, 0, 0, 99), EINVAL);
	OK(pipe(pipes));
	CHECK_ERR(fsync(pipes[0]), EINVAL);
	CHECK_EQ(posix_fadvise(pipes[0], 0, 0, 0), ESPIPE);
	CHECK_ERR(fsync(999), EBADF);
}

CASE(fs_info, "do statfs and fstatfs tell of blocks and name length?")
{
	struct statfs a, b;
	int fd = make("f", "");

	OK(statfs(".", &a));
	OK(fstatfs(fd, &b));
	CHECK(a.f_bsize > 0 && a.f_type == b.f_type);
	CHECK_EQ(a.f_namelen, 255);
	CHECK(a.f_bfree <= a.f_blocks);
	CHECK_ERR(statfs("missing", &a), ENOENT);
	OK(statfs("/proc", &a));
	CHECK_EQ(a.f_type, 0x9fa0);
}

CASE(file_limit, "does RLIMIT_FSIZE stop a write with SIGXFSZ or EFBIG?")
{
	struct rlimit limit = {1000, 1000};
	int fd = make("f", "");
	char page[4096] = {0};
	pid_t pid = abi_fork();

	if (pid == 0) {
		OK(setrlimit(RLIMIT_FSIZE, &limit));
		signal(SIGXFSZ, SIG_IGN);
		CHECK_EQ(write(fd, page, 4096), 1000);
		CHECK_ERR(write(fd, page, 1), EFBIG);
		CHECK_ERR(ftruncate(fd, 2000), EFBIG);
		signal(SIGXFSZ, SIG_DFL);
		limit.rlim_cur = 0;
		(void)!write(fd, page, 1);
		_exit(0);
	}
	CHECK_EQ(abi_reap(pid), 128 + SIGXFSZ);
}

static void *
append_lines(void *arg)
{
	char line[17];
	int fd = OK(open("f", O_WRONLY | O_APPEND)), i;

	snprintf(line, sizeof(line), "%015d\n", (int)(intptr_t)arg);
	for (i = 0; i < 200; i++)
		CHECK_EQ(write(fd, line, 16), 16);
	close(fd);
	return NULL;
}

CASE(append_storm, "are appends of many threads whole and none lost?")
{
	pthread_t thread[5];
	char line[17];
	intptr_t i;
	FILE *in;

	close(make("f", ""));
	for (i = 0; i < 5; i++)
		PT(pthread_create(&thread[i], NULL, append_lines, (void *)i));
	for (i = 0; i < 5; i++)
		PT(pthread_join(thread[i], NULL));
	CHECK_EQ(size_of("f"), 16000);
	in = fopen("f", "r");
	for (i = 0; i < 1000; i++) {
		CHECK(fgets(line, sizeof(line), in) != NULL);
		CHECK(strlen(line) == 16 && strspn(line, "0") >= 14);
	}
	fclose(in);
}

CASE(big_io, "is a file of 8 MiB written in odd pieces read back right?")
{
	static unsigned char block[40000], back[40000];
	uint64_t seed = 7, check = 7;
	size_t done = 0, size, i;
	int fd = make("f", "");

	while (done < 8 << 20) {
		size = 1 + abi_random(&seed) % sizeof(block);
		for (i = 0; i < size; i++)
			block[i] = (done + i) * 31 >> 3;
		CHECK_EQ(write(fd, block, size), size);
		done += size;
	}
	OK(lseek(fd, 0, SEEK_SET));
	done = 0;
	while (done < 8 << 20) {
		size = 1 + abi_random(&check) % sizeof(block);
		CHECK_EQ(read(fd, back, size), size);
		for (i = 0; i < size; i++)
			CHECK_EQ(back[i], (unsigned char)((done + i) * 31 >> 3));
		done += size;
	}
}
