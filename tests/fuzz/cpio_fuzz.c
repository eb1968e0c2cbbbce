/* The cpio reader: whatever the archive, entries lie inside it and the reader moves on. */
#include "fuzz.h"
#include "lib/cpio.h"

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct cpio_reader r;
	struct cpio_entry e;
	u64 before = 0;
	int more;

	cpio_init(&r, data, size);
	while ((more = cpio_next(&r, &e)) > 0) {
		CHECK(r.pos > before);
		before = r.pos;
		CHECK((const u8 *)e.name >= data && (const u8 *)e.name <= data + size);
		touch(e.name, e.name_len + 1);
		CHECK(e.name[e.name_len] == 0);
		if (e.size > 0) {
			CHECK(e.data <= size && e.size <= size - e.data);
			touch(data + e.data, e.size);
		}
	}
	CHECK(more == 0 || r.error);
	return 0;
}
