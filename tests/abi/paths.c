/*
 * paths.c - names: links, renames, directories and reading them while they
 * change, the current directory, and each way a path can be wrong.
 */
#include "abi.h"
#include <linux/fs.h>
#include <sys/sysmacros.h>

static void
make(const char *path, const char *text)
{
	abi_put_file(path, text, strlen(text), 0644);
}

static bool
holds(const char *path, const char *text)
{
	char buffer[256];
	int fd = open(path, O_RDONLY);
	ssize_t got;

	if (fd < 0)
		return false;
	got = read(fd, buffer, sizeof(buffer));
	close(fd);
	return got == (ssize_t)strlen(text) && memcmp(buffer, text, got) == 0;
}

static ino_t
inode(const char *path)
{
	struct stat st;

	OK(lstat(path, &st));
	return st.st_ino;
}

static long
links(const char *path)
{
	struct stat st;

	OK(lstat(path, &st));
	return st.st_nlink;
}

CASE(link, "do two names share one file, and unlink only take a name?")
{
	make("a", "text");
	OK(link("a", "b"));
	CHECK_EQ(inode("a"), inode("b"));
	CHECK_EQ(links("a"), 2);
	OK(unlink("a"));
	CHECK_EQ(links("b"), 1);
	CHECK(holds("b", "text"));
	CHECK_ERR(link("missing", "c"), ENOENT);
	CHECK_ERR(link("b", "b"), EEXIST);
	OK(mkdir("d", 0755));
	CHECK_ERR(link("d", "e"), EPERM);
	CHECK_ERR(unlink("d"), EISDIR);
	CHECK_ERR(unlink("missing"), ENOENT);
	OK(symlink("b", "s"));
	OK(link("s", "s2"));
	CHECK_EQ(inode("s"), inode("s2"));
	OK(linkat(AT_FDCWD, "s", AT_FDCWD, "hard", AT_SYMLINK_FOLLOW));
	CHECK_EQ(inode("hard"), inode("b"));
	CHECK_ERR(linkat(AT_FDCWD, "b", AT_FDCWD, "x", 0x80000), EINVAL);
}

CASE(symlink, "do symbolic links resolve, relative to their own folder?")
{
	char text[64];

	OK(mkdir("d", 0755));
	make("d/f", "in d");
	OK(symlink("f", "d/l"));
	CHECK(holds("d/l", "in d"));
	OK(symlink("d", "dl"));
	CHECK(holds("dl/l", "in d"));
	CHECK_EQ(readlink("d/l", text, sizeof(text)), 1);
	CHECK_EQ(text[0], 'f');
	CHECK_EQ(readlink("dl", text, 1), 1);
	CHECK_ERR(readlink("d/f", text, sizeof(text)), EINVAL);
	CHECK_ERR(readlink("missing", text, sizeof(text)), ENOENT);
	CHECK_ERR(readlink("dl", text, 0), EINVAL);
	CHECK_ERR(symlink("x", "dl"), EEXIST);
	CHECK_ERR(symlink("", "empty"), ENOENT);
	OK(symlink("nowhere", "dangling"));
	CHECK_ERR(open("dangling", O_RDONLY), ENOENT);
	OK(close(OK(open("dangling", O_WRONLY | O_CREAT, 0600))));
	OK(access("nowhere", F_OK));
}

CASE(loops, "do symlink loops end in ELOOP, and 39 hops not?")
{
	char from[16], to[16];
	int i;

	OK(symlink("b", "a"));
	OK(symlink("a", "b"));
	CHECK_ERR(open("a", O_RDONLY), ELOOP);
	CHECK_ERR(stat("a/x", &(struct stat){0}), ELOOP);
	OK(symlink("self/x", "self"));
	CHECK_ERR(open("self", O_RDONLY), ELOOP);
	make("n0", "end");
	for (i = 0; i < 41; i++) {
		snprintf(to, sizeof(to), "n%d", i);
		snprintf(from, sizeof(from), "n%d", i + 1);
		OK(symlink(to, from));
	}
	CHECK(holds("n40", "end"));
	CHECK_ERR(open("n41", O_RDONLY), ELOOP);
}

CASE(errors, "does each way a path is wrong give its errno?")
{
	char *longest = malloc(5000);

	make("f", "x");
	CHECK_ERR(open("f/x", O_RDONLY), ENOTDIR);
	CHECK_ERR(open("f/", O_RDONLY), ENOTDIR);
	CHECK_ERR(open("missing/x", O_RDONLY), ENOENT);
	CHECK_ERR(open("", O_RDONLY), ENOENT);
	CHECK_ERR(open(abi_bad(), O_RDONLY), EFAULT);
	memset(longest, 'n', 4999);
	longest[256] = 0;
	CHECK_ERR(open(longest, O_RDWR | O_CREAT, 0600), ENAMETOOLONG);
	longest[255] = 0;
	OK(close(OK(open(longest, O_RDWR | O_CREAT, 0600))));
	OK(unlink(longest));
	memset(longest, '/', 4999);
	longest[4096] = 0;
	CHECK_ERR(open(longest, O_RDONLY), ENAMETOOLONG);
	longest[4095] = 0;
	OK(close(OK(open(longest, O_RDONLY))));
	CHECK_ERR(openat(999, "f", O_RDONLY), EBADF);
	CHECK_ERR(openat(OK(open("f", O_RDONLY)), "f", O_RDONLY), ENOTDIR);
	OK(close(OK(openat(999, "/", O_RDONLY))));
	CHECK_ERR(mkdir("missing/d", 0755), ENOENT);
	CHECK_ERR(open("new/", O_RDWR | O_CREAT, 0600), EISDIR);
	free(longest);
}

CASE(dots, "are ., .., doubled and trailing slashes resolved?")
{
	OK(mkdir("d", 0755));
	OK(mkdir("d/e", 0755));
	make("d/f", "here");
	CHECK(holds("./d//e/.././f", "here"));
	CHECK(holds("d/e/../../d/f", "here"));
	CHECK_EQ(inode("d/"), inode("d/."));
	CHECK_EQ(inode("d/e/.."), inode("d"));
	CHECK_EQ(inode("/.."), inode("/"));
	CHECK_ERR(mkdir("d/.", 0755), EEXIST);
	CHECK_ERR(rmdir("d/e/."), EINVAL);
	CHECK_ERR(rmdir("d/e/.."), ENOTEMPTY);
	OK(mkdir("g/", 0755));
	OK(rmdir("g/"));
}

CASE(directories, "do mkdir and rmdir keep link counts and refuse?")
{
	struct stat st;

	umask(022);
	OK(mkdir("d", 0777));
	OK(stat("d", &st));
	CHECK_EQ(st.st_mode, S_IFDIR | 0755);
	CHECK_EQ(links("d"), 2);
	OK(mkdir("d/e", 0700));
	CHECK_EQ(links("d"), 3);
	CHECK_ERR(mkdir("d", 0777), EEXIST);
	CHECK_ERR(rmdir("d"), ENOTEMPTY);
	OK(rmdir("d/e"));
	CHECK_EQ(links("d"), 2);
	make("f", "");
	CHECK_ERR(rmdir("f"), ENOTDIR);
	CHECK_ERR(rmdir("missing"), ENOENT);
	OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
	CHECK_ERR(unlinkat(AT_FDCWD, "f", 0x1), EINVAL);
}

CASE(rename, "does rename replace files, move between folders, and refuse?")
{
	ino_t was;

	make("a", "A");
	make("b", "B");
	was = inode("a");
	OK(rename("a", "b"));
	CHECK_EQ(inode("b"), was);
	CHECK(holds("b", "A"));
	CHECK_ERR(access("a", F_OK), ENOENT);
	OK(mkdir("d", 0755));
	OK(mkdir("e", 0755));
	OK(rename("b", "d/c"));
	CHECK(holds("d/c", "A"));
	CHECK_ERR(rename("missing", "x"), ENOENT);
	CHECK_ERR(rename("d", "d/sub"), EINVAL);
	CHECK_ERR(rename("e", "d"), ENOTEMPTY);
	CHECK_ERR(rename("d/c", "e"), EISDIR);
	CHECK_ERR(rename("e", "d/c"), ENOTDIR);
	OK(rename("d", "e"));
	CHECK(holds("e/c", "A"));
	CHECK_ERR(access("d", F_OK), ENOENT);
	OK(link("e/c", "same"));
	OK(rename("e/c", "same"));
	CHECK_EQ(links("same"), 2);
	OK(symlink("same", "s"));
	OK(rename("s", "s2"));
	CHECK(holds("s2", "A"));
	CHECK_ERR(rename("e/.", "x"), EBUSY);
}

CASE(rename_dotdot, "does .. of a moved folder follow, and the counts too?")
{
	OK(mkdir("d", 0755));
	OK(mkdir("d/m", 0755));
	OK(mkdir("e", 0755));
	OK(rename("d/m", "e/m"));
	CHECK_EQ(inode("e/m/.."), inode("e"));
	CHECK_EQ(links("d"), 2);
	CHECK_EQ(links("e"), 3);
}

CASE(renameat2, "do NOREPLACE and EXCHANGE hold?")
{
	make("a", "A");
	make("b", "B");
	CHECK_ERR(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
	OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
	OK(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_EXCHANGE));
	CHECK(holds("b", "A") && holds("c", "B"));
	OK(mkdir("d", 0755));
	OK(renameat2(AT_FDCWD, "b", AT_FDCWD, "d", RENAME_EXCHANGE));
	CHECK(holds("d", "A"));
	CHECK_EQ(links("b"), 2);
	CHECK_ERR(renameat2(AT_FDCWD, "d", AT_FDCWD, "no", RENAME_EXCHANGE), ENOENT);
	CHECK_ERR(renameat2(AT_FDCWD, "c", AT_FDCWD, "d", RENAME_NOREPLACE | RENAME_EXCHANGE),
		  EINVAL);
	CHECK_ERR(renameat2(AT_FDCWD, "c", AT_FDCWD, "d", 0x100), EINVAL);
}

CASE(at_calls, "do the *at calls work from a folder's descriptor, even a moved one?")
{
	char text[8];
	struct stat st;
	int dir;

	OK(mkdir("d", 0755));
	dir = OK(open("d", O_RDONLY | O_DIRECTORY));
	OK(mkdirat(dir, "sub", 0755));
	OK(symlinkat("target", dir, "l"));
	CHECK_EQ(readlinkat(dir, "l", text, sizeof(text)), 6);
	OK(mknodat(dir, "fifo", S_IFIFO | 0600, 0));
	OK(fstatat(dir, "fifo", &st, 0));
	CHECK(S_ISFIFO(st.st_mode));
	OK(rename("d", "moved"));
	OK(close(OK(openat(dir, "f", O_WRONLY | O_CREAT, 0600))));
	OK(access("moved/f", F_OK));
	OK(faccessat(dir, "f", F_OK, 0));
	OK(fchmodat(dir, "f", 0640, 0));
	OK(renameat(dir, "f", dir, "g"));
	OK(unlinkat(dir, "g", 0));
	OK(unlinkat(dir, "sub", AT_REMOVEDIR));
}

CASE(removed_dir, "is a removed folder empty, nameless and closed to new files?")
{
	char here[PATH_MAX];
	int dir;

	OK(mkdir("d", 0755));
	dir = OK(open("d", O_RDONLY | O_DIRECTORY));
	OK(chdir("d"));
	OK(rmdir("../d"));
	CHECK_ERR(openat(dir, "f", O_WRONLY | O_CREAT, 0600), ENOENT);
	CHECK_ERR(open("f", O_WRONLY | O_CREAT, 0600), ENOENT);
	CHECK_ERR(syscall(SYS_getcwd, here, sizeof(here)), ENOENT);
	OK(chdir(".."));
}

CASE(current, "do chdir, fchdir and getcwd agree, through links and renames?")
{
	char here[PATH_MAX], *end;
	int dir;

	OK(mkdir("d", 0755));
	OK(symlink("d", "l"));
	dir = OK(open(".", O_RDONLY));
	OK(chdir("l"));
	CHECK(getcwd(here, sizeof(here)) != NULL);
	end = strrchr(here, '/');
	CHECK(strcmp(end, "/d") == 0);
	OK(rename("../d", "../other"));
	CHECK(getcwd(here, sizeof(here)) != NULL);
	CHECK(strcmp(strrchr(here, '/'), "/other") == 0);
	CHECK_EQ(syscall(SYS_getcwd, here, sizeof(here)), strlen(here) + 1);
	CHECK_ERR(syscall(SYS_getcwd, here, 2), ERANGE);
	OK(fchdir(dir));
	CHECK(getcwd(here, sizeof(here)) != NULL);
	CHECK(strcmp(here, abi_dir) == 0);
	make("f", "");
	CHECK_ERR(chdir("f"), ENOTDIR);
	CHECK_ERR(chdir("missing"), ENOENT);
	CHECK_ERR(fchdir(OK(open("f", O_RDONLY))), ENOTDIR);
	CHECK_ERR(fchdir(999), EBADF);
}

CASE(listing, "does readdir give every name once, with type and inode?")
{
	struct dirent *entry;
	int seen[300] = {0}, dots = 0, i;
	char name[16];
	DIR *dir;

	for (i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "e%d", i);
		if (i % 3 == 0)
			OK(mkdir(name, 0755));
		else if (i % 3 == 1)
			make(name, "");
		else
			OK(symlink("x", name));
	}
	dir = opendir(".");
	CHECK(dir != NULL);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.') {
			dots++;
			continue;
		}
		CHECK(sscanf(entry->d_name, "e%d", &i) == 1);
		seen[i]++;
		CHECK_EQ(entry->d_ino, inode(entry->d_name));
		CHECK_EQ(entry->d_type, i % 3 == 0 ? DT_DIR : i % 3 == 1 ? DT_REG : DT_LNK);
	}
	CHECK_EQ(dots, 2);
	for (i = 0; i < 300; i++)
		CHECK_EQ(seen[i], 1);
	rewinddir(dir);
	CHECK(readdir(dir) != NULL);
	closedir(dir);
}

CASE(listing_changes, "is a name that stays listed once while others come and go?")
{
	struct dirent *entry;
	int seen[200] = {0}, i, step = 0;
	char name[16];
	DIR *dir;

	for (i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		make(name, "");
		snprintf(name, sizeof(name), "t%d", i);
		make(name, "");
	}
	dir = opendir(".");
	while ((entry = readdir(dir)) != NULL) {
		if (sscanf(entry->d_name, "s%d", &i) == 1)
			seen[i]++;
		if (step < 200) {
			snprintf(name, sizeof(name), "t%d", step);
			OK(unlink(name));
			snprintf(name, sizeof(name), "n%d", step++);
			make(name, "");
		}
	}
	closedir(dir);
	for (i = 0; i < 200; i++)
		CHECK_EQ(seen[i], 1);
}

CASE(remove_while_listing, "does removing each name as it is read empty the folder?")
{
	struct dirent *entry;
	char name[16];
	int i;
	DIR *dir;

	OK(mkdir("d", 0755));
	OK(chdir("d"));
	for (i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		make(name, "");
	}
	dir = opendir(".");
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.')
			OK(unlink(entry->d_name));
	}
	closedir(dir);
	OK(chdir(".."));
	OK(rmdir("d"));
}

CASE(getdents, "does getdents64 check its buffer, and seekdir come back?")
{
	char buffer[1024];
	struct dirent *entry;
	char name[256];
	long place;
	int fd;
	DIR *dir;

	make("a", "");
	make("b", "");
	fd = OK(open(".", O_RDONLY));
	CHECK_ERR(syscall(SYS_getdents64, fd, buffer, 10), EINVAL);
	CHECK(OK(syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0);
	CHECK_EQ(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)), 0);
	OK(lseek(fd, 0, SEEK_SET));
	CHECK_ERR(syscall(SYS_getdents64, fd, abi_bad(), sizeof(buffer)), EFAULT);
	fd = OK(open("a", O_RDONLY));
	CHECK_ERR(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)), ENOTDIR);
	dir = opendir(".");
	CHECK(readdir(dir) != NULL);
	place = telldir(dir);
	entry = readdir(dir);
	CHECK(entry != NULL);
	strcpy(name, entry->d_name);
	while (readdir(dir))
		;
	seekdir(dir, place);
	entry = readdir(dir);
	CHECK(entry && strcmp(name, entry->d_name) == 0);
	closedir(dir);
}

CASE(deep, "does a tree 60 folders deep hold, up and down?")
{
	char here[PATH_MAX];
	int i;

	for (i = 0; i < 60; i++) {
		OK(mkdir("directory", 0755));
		OK(chdir("directory"));
	}
	CHECK(getcwd(here, sizeof(here)) != NULL);
	CHECK(strlen(here) >= 600);
	for (i = 0; i < 60; i++) {
		OK(chdir(".."));
		OK(rmdir("directory"));
	}
}

static void *
make_and_remove(void *arg)
{
	char name[32], other[32];
	int i;

	for (i = 0; i < 150; i++) {
		snprintf(name, sizeof(name), "x%d", (int)(intptr_t)arg);
		snprintf(other, sizeof(other), "y%d", i % 5);
		make(name, "storm");
		OK(rename(name, other));
		CHECK(unlink(other) == 0 || errno == ENOENT);
	}
	return NULL;
}

CASE(storm, "do threads that create, rename and remove names stay in order?")
{
	pthread_t thread[5];
	intptr_t i;
	DIR *dir;
	int left = 0;

	for (i = 0; i < 5; i++)
		PT(pthread_create(&thread[i], NULL, make_and_remove, (void *)i));
	for (i = 0; i < 5; i++)
		PT(pthread_join(thread[i], NULL));
	dir = opendir(".");
	while (readdir(dir))
		left++;
	closedir(dir);
	CHECK_EQ(left, 2);
}

CASE(nodes, "do mknod and mkfifo make what they say?")
{
	struct stat st;

	OK(mkfifo("p", 0600));
	OK(lstat("p", &st));
	CHECK(S_ISFIFO(st.st_mode));
	OK(mknod("r", S_IFREG | 0600, 0));
	OK(lstat("r", &st));
	CHECK(S_ISREG(st.st_mode));
	OK(mknod("s", S_IFSOCK | 0600, 0));
	CHECK_ERR(open("s", O_RDONLY), ENXIO);
	CHECK_ERR(mknod("d", S_IFDIR | 0600, 0), EPERM);
	CHECK_ERR(mkfifo("p", 0600), EEXIST);
	OK(stat("/dev/null", &st));
	CHECK(S_ISCHR(st.st_mode));
	CHECK(major(st.st_rdev) == 1 && minor(st.st_rdev) == 3);
}

CASE(xattr, "do extended attributes work or say ENOTSUP?")
{
	char value[8];
	long got;

	make("f", "");
	got = syscall(SYS_setxattr, "f", "user.test", "v", 1, 0);
	if (got == 0)
		CHECK_EQ(syscall(SYS_getxattr, "f", "user.test", value, sizeof(value)), 1);
	else
		CHECK(errno == ENOTSUP || errno == ENOSYS);
}
