/* Tagged fields: no reader leaves the record, and every walk ends. */
#include "fuzz.h"
#include "lib/tagged.h"

static void
walk(const struct tag_reader *r, unsigned depth)
{
	for (u16 tag = 0; tag < 6; tag++) {
		struct tag_field f = {0};

		while (tag_next(r, tag, &f)) {
			struct tag_reader inner = tag_group(&f);

			CHECK(f.data >= r->buf && f.length <= r->length);
			CHECK(f.data + f.length <= r->buf + r->length);
			if (depth)
				walk(&inner, depth - 1);
		}
	}
}

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct tag_reader r = {data, size};
	char text[16];

	tag_check(&r);
	walk(&r, 2);
	if (tag_get_string(&r, 2, text, sizeof(text)))
		CHECK(strlen(text) < sizeof(text));
	return 0;
}
