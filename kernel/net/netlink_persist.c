/*
 * AF_NETLINK sockets in the store: the port, and the answers that nobody has read.
 */
#include "lib/string.h"
#include "mm/slab.h"
#include "net/netlink_impl.h"

enum { NL_TYPE = 1, NL_PORT = 2, NL_ANSWER = 3 };

static void
nl_save(struct persist_writer *w, struct file *f)
{
	struct nl_socket *s = nl_of(f);
	struct nl_answer *a;

	tag_u64(&w->tags, NL_TYPE, (u64)s->type);
	tag_u64(&w->tags, NL_PORT, s->port);
	list_for_each_entry (a, &s->answers, link)
		tag_bytes(&w->tags, NL_ANSWER, a->bytes, a->len);
}

static int
nl_link(struct persist_reader *r, const struct tag_reader *in, struct file *f)
{
	struct nl_socket *s = nl_alloc((int)tag_get_u64(in, NL_TYPE, SOCK_RAW));
	struct tag_field field = {0};

	if (!s)
		return -ENOMEM;
	f->private = s;
	s->ino = f->ino;
	s->port = (u32)tag_get_u64(in, NL_PORT, 0);
	while (tag_next(in, NL_ANSWER, &field)) {
		struct nl_answer *a = kmalloc(sizeof(*a) + field.length);

		if (!a)
			return -ENOMEM;
		a->len = field.length;
		memcpy(a->bytes, field.data, field.length);
		list_add_tail(&s->answers, &a->link);
		s->answers_nr++;
	}
	return 0;
}

/*
 * Members of struct nl_socket over a power cut:
 *	written	answers port type
 *	made	lock rq answers_nr ino
 */
/*
 * Members of struct nl_answer over a power cut:
 *	written	len bytes
 *	made	link
 */
const struct file_persist netlink_persist = {
	.number = FILE_NETLINK,
	.save = nl_save,
	.link = nl_link,
};
