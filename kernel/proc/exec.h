/* The steps of execve share this: see exec.c. */
#ifndef PROC_EXEC_H
#define PROC_EXEC_H

#include "lib/elf.h"
#include "proc/process.h"

#define EXEC_HEAD	 256 /* bytes of a file that say what it is */
#define EXEC_STRING_MAX	 (128 * 1024UL)
#define EXEC_SCRIPTS_MAX 4

/* Strings one after another, each with its NUL; grows. */
struct exec_strings {
	char *bytes;
	size_t used, room;
	size_t count;
};

struct exec_work {
	struct file *file; /* the program, referenced */
	const char *name;  /* AT_EXECFN; kernel memory */
	bool held;	   /* nobody may write to the program's file */
	struct exec_strings argv, envp;
	u8 head[EXEC_HEAD];
	size_t head_len;
	struct elf_image image, interp_image;
	struct file *interp;   /* referenced; NULL: none */
	struct vm_map *map;    /* the new address space */
	u64 base, interp_base; /* what was added to addresses */
	u64 entry, stack;
	u64 auxv[PROC_AUXV];
	u32 auxv_words;
};

/* exec_args.c */
int exec_copy_vector(struct exec_strings *s, char *const *vector, bool user);
int exec_add_string(struct exec_strings *s, const char *string);
/* Puts strings in front of all others in place of the first: "#!" lines. */
int exec_prepend(struct exec_strings *s, const char *interp, const char *arg, const char *path);
void exec_free_strings(struct exec_strings *s);
/* Writes strings, vectors and auxv on the new stack. */
int exec_build_stack(struct exec_work *w);

/* exec_load.c */
int exec_read(struct file *f, u64 offset, void *buf, size_t n); /* all of it, or -ENOEXEC/-errno */
int exec_read_image(struct file *f, const u8 *head, size_t n, struct elf_image *out);
int exec_load(struct exec_work *w);
u64 exec_random_below(u64 n);

#endif
