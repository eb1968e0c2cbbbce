/* Runs code in pages of its own and gives them back, so that a test can look for it in memory.
 * The mark is put together here: it is nowhere else. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 16
#define BYTES 4096

int
main(void)
{
	unsigned char *code = mmap(NULL, PAGES * BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (code == MAP_FAILED)
		return 1;
	for (int i = 0; i < PAGES; i++) {
		unsigned char *page = code + i * BYTES;
		void (*run)(void);

		page[0] = 0xc3; /* ret */
		for (int k = 0; k < 16; k++)
			page[1024 + k] = (unsigned char)(0xa5 ^ (k * 37 + 1));
		memcpy(&run, &page, sizeof(run));
		run();
	}
	munmap(code, PAGES * BYTES);
	puts("gone");
	fflush(stdout);
	pause();
	return 0;
}
