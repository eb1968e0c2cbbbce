/*
 * How address spaces are written down and made again (core/persist.h; kind 33). Everything in them
 * keeps its place: addresses are data. Page tables are not written; faults fill them. The vDSO's
 * object is this kernel's (the engine knows it), at the place where the old one was.
 */
#include <asm/errno.h>

#include "lib/assert.h"
#include "lib/string.h"
#include "mm/home.h"
#include "mm/policy.h"
#include "mm/record.h"
#include "mm/slab.h"

#define FIELD(name) offsetof(struct vm_map, name)

/* The order is that of the tags. The last ones change with each fault, and the processes of a map
 * write them, so that its own record stays as it is; here they are in older records only. */
static const size_t numbers[] = {
	FIELD(limit_pages), FIELD(mmap_base), FIELD(search_top),   FIELD(search_hole),
	FIELD(brk_start),   FIELD(brk),	      FIELD(stack_top),	   FIELD(stack_limit),
	FIELD(arg_start),   FIELD(arg_end),   FIELD(env_start),	   FIELD(env_end),
	FIELD(vdso),	    FIELD(max_rss),   FIELD(faults_minor), FIELD(faults_major),
};

#define NUMBERS_WRITTEN (ARRAY_SIZE(numbers) - 3)

static const char *const labels[] = {"[heap]", "[stack]", "[vvar]", "[vdso]"};

#define MAP_FUTURE_FLAGS 60
#define MAP_MEMBARRIER	 61

_Static_assert(MAP_NUMBERS + ARRAY_SIZE(numbers) <= MAP_FUTURE_FLAGS, "tags do not meet");

static void
save_mapping(struct persist_writer *w, struct vm_mapping *v)
{
	struct tag_writer *t = &w->tags;
	size_t begin = tag_begin(t, MAP_MAPPING);

	tag_u64(t, AREA_START, v->start);
	tag_u64(t, AREA_END, v->end);
	tag_u64(t, AREA_PROT, v->prot);
	tag_u64(t, AREA_MAX_PROT, v->max_prot);
	tag_u64(t, AREA_FLAGS, v->flags);
	persist_ref(w, AREA_OBJECT, &vm_object_persist, v->object);
	tag_u64(t, AREA_OFFSET, v->offset);
	persist_ref(w, AREA_ANON, &vm_object_persist, v->anon);
	tag_u64(t, AREA_ANON_OFFSET, v->anon_offset);
	tag_u64(t, AREA_NEEDS_COPY, v->needs_copy);
	tag_u64(t, AREA_POLICY_MODE, v->policy.mode);
	tag_u64(t, AREA_POLICY_FLAGS, v->policy.flags);
	tag_u64(t, AREA_POLICY_NODES, v->policy.nodes);
	if (machine()->mm->file_ops->persist != NULL)
		persist_ref(w, AREA_FILE, machine()->mm->file_ops->persist, v->file);
	tag_string(t, AREA_LABEL, v->label);
	tag_end(t, begin);
}

static void
map_save(struct persist_writer *w, void *object)
{
	struct vm_map *m = object;

	for (unsigned i = 0; i < NUMBERS_WRITTEN; i++)
		tag_u64(&w->tags, (u16)(MAP_NUMBERS + i), *(u64 *)(object + numbers[i]));
	tag_u64(&w->tags, MAP_FUTURE_FLAGS, m->future_flags);
	tag_u64(&w->tags, MAP_MEMBARRIER, m->membarrier);
	for (struct rb_node *n = rb_first(&m->mappings); n != NULL; n = rb_next(n))
		save_mapping(w, rb_entry(n, struct vm_mapping, node));
}

/* Mappings are many, and lie on many pages of memory, while their files are few. */
static bool
list_files(struct vm_map *m)
{
	struct vm_mapping *v;
	unsigned n = 0;

	if (m->files != NULL && m->files_edits == m->edits)
		return true;
	list_for_each_entry (v, &m->filed, file_link)
		n++;
	kfree(m->files);
	m->files = kmalloc((n + 1) * sizeof(m->files[0]));
	if (m->files == NULL)
		return false;
	n = 0;
	/* Parts of one file come one behind the other, mostly. */
	list_for_each_entry (v, &m->filed, file_link)
		if (n == 0 || m->files[n - 1] != v->file)
			m->files[n++] = v->file;
	m->files[n] = NULL;
	m->files_edits = m->edits;
	return true;
}

/* Objects are of a marked kind. */
static u64
mix_files(struct persist_writer *w, u64 h, struct vm_map *m)
{
	const struct persist_kind *kind = machine()->mm->file_ops->persist;

	if (kind == NULL)
		return h;
	if (!list_files(m))
		return 0;
	for (void **f = m->files; *f != NULL; f++)
		h = persist_mix_ref(w, h, kind, *f);
	return h;
}

static u64
map_version(struct persist_writer *w, void *object)
{
	struct vm_map *m = object;
	u64 version = persist_mix(m->edits, (u64)m->future_flags << 32 | m->membarrier);

	for (unsigned i = 0; i < NUMBERS_WRITTEN; i++)
		version = persist_mix(version, *(const u64 *)(object + numbers[i]));
	return mix_files(w, version, m);
}

static int
map_make(struct persist_reader *r, void **out)
{
	struct vm_map *m = vm_map_create();
	void *at = m;

	if (m == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++)
		*(u64 *)(at + numbers[i]) = tag_get_u64(&r->tags, (u16)(MAP_NUMBERS + i), 0);
	m->future_flags = (u32)tag_get_u64(&r->tags, MAP_FUTURE_FLAGS, 0);
	m->membarrier = (u32)tag_get_u64(&r->tags, MAP_MEMBARRIER, 0);
	*out = m;
	return 0;
}

/* The object that a field names, in *out; none is right, one that is not there is not. */
static int
find_object(struct persist_reader *r, const struct tag_reader *in, u16 tag, struct vm_object **out)
{
	*out = persist_get(r, in, tag, &vm_object_persist);
	return *out == NULL && tag_get_u64(in, tag, 0) != 0 ? -EBADMSG : 0;
}

static const char *
find_label(const struct tag_reader *in)
{
	char label[16];

	for (unsigned i = 0; i < ARRAY_SIZE(labels); i++)
		if (tag_get_string(in, AREA_LABEL, label, sizeof(label)) &&
		    strcmp(label, labels[i]) == 0)
			return labels[i];
	return NULL;
}

static void
set_plain(struct vm_mapping *v, const struct tag_reader *in)
{
	v->prot = (u8)tag_get_u64(in, AREA_PROT, 0);
	v->max_prot = (u8)tag_get_u64(in, AREA_MAX_PROT, 0);
	v->flags = (u32)tag_get_u64(in, AREA_FLAGS, 0);
	v->offset = tag_get_u64(in, AREA_OFFSET, 0);
	v->anon_offset = tag_get_u64(in, AREA_ANON_OFFSET, 0);
	v->needs_copy = tag_get_u64(in, AREA_NEEDS_COPY, 0);
	v->policy.mode = (__typeof__(v->policy.mode))tag_get_u64(in, AREA_POLICY_MODE, 0);
	v->policy.flags = (__typeof__(v->policy.flags))tag_get_u64(in, AREA_POLICY_FLAGS, 0);
	v->policy.nodes = (__typeof__(v->policy.nodes))tag_get_u64(in, AREA_POLICY_NODES, 0);
	policy_fit(&v->policy);
	v->label = find_label(in);
}

static int
link_objects(struct persist_reader *r, const struct tag_reader *in, struct vm_mapping *v)
{
	struct vm_object *object, *anon;
	int err = find_object(r, in, AREA_OBJECT, &object);

	if (err == 0)
		err = find_object(r, in, AREA_ANON, &anon);
	if (err)
		return err;
	if ((v->flags & VM_SHARED) && object == NULL)
		return -EBADMSG;
	mapping_set_object(v, object, v->offset);
	if (anon != NULL)
		anon_attach(anon, v);
	return 0;
}

static int
link_file(struct persist_reader *r, const struct tag_reader *in, struct vm_mapping *v)
{
	const struct vm_file_ops *ops = machine()->mm->file_ops;

	if (tag_get_u64(in, AREA_FILE, 0) == 0 || ops->persist == NULL)
		return 0;
	v->file = persist_get(r, in, AREA_FILE, ops->persist);
	if (v->file == NULL)
		return -EBADMSG;
	ops->get(v->file);
	return 0;
}

/* Mappings come in the order of their places. On an error the map is put with what it has. */
static int
link_mapping(struct persist_reader *r, const struct tag_reader *in, struct vm_map *m,
	     vaddr_t *behind)
{
	vaddr_t start = tag_get_u64(in, AREA_START, 0), end = tag_get_u64(in, AREA_END, 0);
	struct vm_mapping *v;
	int err;

	if (start < *behind || start >= end || end > USER_TOP ||
	    !IS_ALIGNED(start | end | tag_get_u64(in, AREA_OFFSET, 0) |
				tag_get_u64(in, AREA_ANON_OFFSET, 0),
			PAGE_SIZE))
		return -EBADMSG;
	v = mapping_create(m, start, end);
	if (v == NULL)
		return -ENOMEM;
	*behind = end;
	set_plain(v, in);
	err = link_file(r, in, v);
	mapping_insert(v);
	return err ? err : link_objects(r, in, v);
}

static int
map_link(struct persist_reader *r, void *object)
{
	struct tag_field field = {0};
	vaddr_t behind = MIN_ADDRESS;
	int err = 0;

	while (err == 0 && tag_next(&r->tags, MAP_MAPPING, &field)) {
		struct tag_reader in = tag_group(&field);

		err = link_mapping(r, &in, object, &behind);
	}
	return err;
}

static void
map_put(void *object)
{
	vm_map_put(object);
}

/*
 * Members of struct vm_map over a power cut:
 *	written	mappings limit_pages max_rss mmap_base search_top search_hole brk_start
 *		brk stack_top stack_limit arg_start arg_end env_start env_end vdso
 *		faults_minor faults_major future_flags membarrier
 *	made	refs lock changes edits filed files files_edits pmap size_pages
 *		committed_pages rss_anon rss_file persistent
 */
/*
 * Members of struct vm_mapping over a power cut:
 *	written	start end object offset anon anon_offset needs_copy prot max_prot flags
 *		policy file label
 *	made	node map shows_zeros object_link anon_link file_link file_pages
 *		next_dead
 */
const struct persist_kind vm_map_persist = {
	.name = "vm_map",
	.number = RECORD_MAP,
	.member = offsetof(struct vm_map, persistent),
	.save = map_save,
	.version = map_version,
	.make = map_make,
	.link = map_link,
	.put = map_put,
};
