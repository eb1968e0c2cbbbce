/*
 * badelf.c - execve of damaged programs: each is refused or ends by itself, and a whole one runs
 * after it. The program that is damaged is made here: headers, exit(0) and a little data.
 */
#include "abi.h"
#include <elf.h>

enum { file_bytes = 8192, code_at = 0x400, data_at = 0x1000, name_at = 0x380 };

static const char interpreter[] = "./interp";

struct program {
	union {
		unsigned char bytes[file_bytes];
		struct {
			Elf64_Ehdr head;
			Elf64_Phdr part[5];
		};
	};
};

/* Parts: code, data with a bss, stack, then PT_INTERP where it is wanted. */
static void
make(struct program *p, int type, bool with_interp)
{
	static const unsigned char code[] = {0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05};
	uint64_t base = type == ET_EXEC ? 0x400000 : 0;

	memset(p, 0, sizeof(*p));
	memcpy(p->head.e_ident, ELFMAG, SELFMAG);
	p->head.e_ident[EI_CLASS] = ELFCLASS64;
	p->head.e_ident[EI_DATA] = ELFDATA2LSB;
	p->head.e_ident[EI_VERSION] = EV_CURRENT;
	p->head.e_type = type;
	p->head.e_machine = EM_X86_64;
	p->head.e_version = EV_CURRENT;
	p->head.e_entry = base + code_at;
	p->head.e_phoff = offsetof(struct program, part);
	p->head.e_ehsize = sizeof(p->head);
	p->head.e_phentsize = sizeof(p->part[0]);
	p->head.e_phnum = with_interp ? 4 : 3;
	p->part[0] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, 0, base, base, 0x1000, 0x1000, 0x1000};
	p->part[1] = (Elf64_Phdr){PT_LOAD,	  PF_R | PF_W, data_at, base + data_at,
				  base + data_at, 0x800,       0x3000,	0x1000};
	p->part[2] = (Elf64_Phdr){PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 0, 16};
	p->part[3] = (Elf64_Phdr){PT_INTERP,
				  PF_R,
				  name_at,
				  base + name_at,
				  base + name_at,
				  sizeof(interpreter),
				  sizeof(interpreter),
				  1};
	memcpy(p->bytes + name_at, interpreter, sizeof(interpreter));
	memcpy(p->bytes + code_at, code, sizeof(code));
}

static void
put(const char *path, const struct program *p, size_t size)
{
	unlink(path);
	abi_put_file(path, p->bytes, size, 0755);
}

/* => exit status, 128 plus a signal, or 1000 plus the errno of execve */
static int
run(const char *path)
{
	struct rlimit none = {0, 0}, second = {1, 1};
	int fd[2], error = 0, status;
	char *argv[] = {(char *)path, NULL};
	pid_t pid;

	OK(pipe2(fd, O_CLOEXEC));
	pid = abi_fork();
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		setrlimit(RLIMIT_CPU, &second);
		alarm(10);
		execve(path, argv, argv + 1);
		error = errno;
		(void)!write(fd[1], &error, sizeof(error));
		_exit(0);
	}
	close(fd[1]);
	status = abi_reap(pid);
	if (read(fd[0], &error, sizeof(error)) == sizeof(error))
		status = 1000 + error;
	close(fd[0]);
	CHECK(status != 128 + SIGALRM);
	return status;
}

static void
still_runs(int type, bool with_interp)
{
	struct program p;

	make(&p, ET_DYN, false);
	put("interp", &p, sizeof(p));
	make(&p, type, with_interp);
	put("whole", &p, sizeof(p));
	CHECK_EQ(run("./whole"), 0);
}

static uint64_t
odd_number(uint64_t *seed)
{
	static const uint64_t edge[] = {
		0,
		1,
		0xff,
		0xfff,
		0x1000,
		0x1001,
		1023,
		0xffff,
		0x7fffffff,
		0xffffffff,
		0x400000,
		0x7ffffffff000,
		~0ULL,
		1 << 20,
		1ULL << 47,
		0x7fffffffe000,
		0x8000000000000000,
		0xfffffffffffff000,
	};
	uint64_t value = edge[abi_random(seed) % (sizeof(edge) / sizeof(edge[0]))];

	return abi_random(seed) % 4 ? value : value + abi_random(seed) % 64 - 32;
}

static void
damage(struct program *p, uint64_t *seed)
{
	int count = 1 + abi_random(seed) % 3, i;
	size_t end = sizeof(p->head) + 4 * sizeof(p->part[0]);

	for (i = 0; i < count; i++) {
		uint64_t value = odd_number(seed);
		size_t bytes = 1UL << abi_random(seed) % 4;
		size_t at = (SELFMAG + abi_random(seed) % (end - SELFMAG - 8)) & ~(bytes - 1);

		if (at < SELFMAG)
			continue;
		memcpy(p->bytes + at, &value, bytes);
	}
}

static void
run_damaged(int type, bool with_interp, uint64_t seed)
{
	struct program p;
	int round;

	still_runs(type, with_interp);
	for (round = 0; round < 250; round++) {
		make(&p, type, with_interp);
		damage(&p, &seed);
		put("damaged", &p, sizeof(p));
		run("./damaged");
	}
	still_runs(type, with_interp);
}

CASE(damaged_fixed, "what if the headers of a fixed program hold nonsense?")
{
	run_damaged(ET_EXEC, false, 1);
}

CASE(damaged_pie, "and those of one that goes anywhere?")
{
	run_damaged(ET_DYN, false, 2);
}

CASE(damaged_dynamic, "and those of one with an interpreter?")
{
	run_damaged(ET_DYN, true, 3);
}

CASE(damaged_interpreter, "and those of the interpreter?")
{
	struct program p;
	uint64_t seed = 4;
	int round;

	still_runs(ET_EXEC, true);
	for (round = 0; round < 250; round++) {
		make(&p, round % 2 ? ET_DYN : ET_EXEC, false);
		damage(&p, &seed);
		put("interp", &p, sizeof(p));
		run("./whole");
	}
	still_runs(ET_EXEC, true);
}

CASE(truncated, "what if a program ends early?")
{
	struct program p;
	size_t size;

	make(&p, ET_EXEC, true);
	put("interp", &p, sizeof(p));
	for (size = 0; size < 1200; size += 1 + size / 8) {
		put("short", &p, size);
		CHECK(run("./short") != 0);
	}
	put("short", &p, 0x1100); /* the data part only begins */
	run("./short");
	make(&p, ET_DYN, false);
	for (size = 0; size < 0x400; size += 1 + size / 4) {
		put("interp", &p, size);
		make(&p, ET_EXEC, true);
		put("whole", &p, sizeof(p));
		CHECK(run("./whole") != 0);
		make(&p, ET_DYN, false);
	}
	still_runs(ET_EXEC, true);
}

CASE(entry_outside, "what if the entry is no address a program may have?")
{
	static const uint64_t entries[] = {
		0x7fffffffe000, 0x7fffffffefff,	    0x7ffffffff000, 1ULL << 47,
		1ULL << 63,	0xffffffff80000000, ~0ULL,	    0};
	struct program p;
	size_t i;

	for (i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		make(&p, ET_DYN, false);
		p.head.e_entry = entries[i];
		put("interp", &p, sizeof(p));
		CHECK(run("./interp") != 0);
		make(&p, ET_EXEC, true);
		put("whole", &p, sizeof(p));
		CHECK(run("./whole") != 0);
		make(&p, ET_EXEC, false);
		p.head.e_entry = entries[i];
		put("whole", &p, sizeof(p));
		CHECK(run("./whole") != 0);
	}
	still_runs(ET_EXEC, false);
}

CASE(interpreter_odd, "what if the interpreter is itself, a folder, missing or without an end?")
{
	static const char *const names[] = {".", "./missing", "", "/dev/null", "/dev/zero"};
	struct program p;
	size_t i;

	still_runs(ET_DYN, true);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		make(&p, ET_DYN, true);
		memset(p.bytes + name_at, 0, sizeof(interpreter));
		strcpy((char *)p.bytes + name_at, names[i]);
		p.part[3].p_filesz = strlen(names[i]) + 1;
		put("whole", &p, sizeof(p));
		CHECK(run("./whole") != 0);
	}
	make(&p, ET_DYN, true);
	strcpy((char *)p.bytes + name_at, "./whole");
	put("whole", &p, sizeof(p));
	CHECK_EQ(run("./whole"), 0); /* its own interpreter is a program like others */
	make(&p, ET_DYN, true);
	p.part[3].p_filesz = 4; /* no zero in it */
	put("whole", &p, sizeof(p));
	CHECK_EQ(run("./whole"), 1000 + ENOEXEC);
	p.part[3].p_filesz = 1 << 20;
	put("whole", &p, sizeof(p));
	CHECK(run("./whole") > 1000);
	still_runs(ET_DYN, true);
}

CASE(parts_huge, "what if a part is larger than memory, or lies over the stack?")
{
	static const uint64_t sizes[] = {1ULL << 30,	 1ULL << 40, 1ULL << 46,
					 0x7fffff000000, 1ULL << 47, ~0ULL - 0x401000};
	struct program p;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		make(&p, ET_EXEC, false);
		p.part[1].p_memsz = sizes[i];
		put("huge", &p, sizeof(p));
		run("./huge");
		p.part[1].p_memsz = 0x7000;
		p.part[1].p_vaddr = 0x7fffffff7000 - (sizes[i] >> 4 & 0xffff000);
		put("huge", &p, sizeof(p));
		run("./huge");
	}
	still_runs(ET_EXEC, false);
}
