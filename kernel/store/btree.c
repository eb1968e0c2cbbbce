/*
 * The tree that leads from (object, index) to where the bytes lie: a B+ tree whose pages are never
 * changed where they are on the disk, each checked by the hash its parent holds, loaded when first
 * needed and then kept.
 *
 * A transaction does not change nodes that the committed tree has: it copies the path to them
 * (node->tx says whose a node is). So a commit that fails is undone by forgetting what was made.
 * One thing is different, for which most commits need no copies: where an item takes the place of
 * another, in a leaf that is not on the disk, and nobody looks at the committed tree any more
 * before the end (tx.in_place), it does so in the committed leaf, and the old one is noted.
 */
#include "store/impl.h"

static void
node_free(struct store *s, struct bnode *n)
{
	if (n->page)
		s->ops->free(n->page);
	if (n->kid)
		s->ops->free(n->kid);
	s->ops->free(n);
}

static struct bnode *
node_alloc(struct store *s, unsigned level)
{
	struct bnode *n = store_zalloc(s, sizeof(*n));

	if (!n)
		return NULL;
	n->page = store_zalloc(s, STORE_BLOCK);
	if (level > 0)
		n->kid = store_zalloc(s, (STORE_INNER_MAX + 1) * sizeof(struct bnode *));
	if (!n->page || (level > 0 && !n->kid)) {
		node_free(s, n);
		return NULL;
	}
	n->page->magic = STORE_TREE_MAGIC;
	n->page->level = (u16)level;
	return n;
}

/* From here on it belongs to the transaction. */
static struct bnode *
node_made(struct store *s, struct bnode *n)
{
	if (n) {
		n->tx = s->tx.number;
		n->next = s->tx.made;
		s->tx.made = n;
	}
	return n;
}

/* The tree in the making has it no more; the committed one does. */
static void
node_replaced(struct store *s, struct bnode *n)
{
	n->replaced = true;
	n->next = s->tx.garbage;
	s->tx.garbage = n;
}

int
btree_empty(struct store *s)
{
	s->root = node_alloc(s, 0);
	return s->root ? 0 : -ENOMEM;
}

static struct key
page_key(const struct store_tree_page *p, unsigned i)
{
	return p->level ? (struct key){p->child[i].oid, p->child[i].idx}
			: (struct key){p->item[i].oid, p->item[i].idx};
}

static bool
page_valid(const struct store *s, const struct store_tree_page *p, unsigned level)
{
	if (p->magic != STORE_TREE_MAGIC || p->level != level ||
	    p->count > (level ? STORE_INNER_MAX : STORE_LEAF_MAX) || (level && p->count == 0))
		return false;
	for (unsigned i = 0; i < p->count; i++) {
		struct key k = page_key(p, i);

		if (i > 0 &&
		    key_cmp(page_key(p, i - 1).oid, page_key(p, i - 1).idx, k.oid, k.idx) >= 0)
			return false;
		if (level ? !extent_valid(s->super.blocks, p->child[i].block, 1)
			  : p->item[i].op != STORE_PUT || item_valid(s, &p->item[i]) != 0)
			return false;
	}
	return true;
}

int
btree_load(struct store *s, u64 block, struct hash128 hash, unsigned level, struct bnode **out)
{
	struct bnode *n;
	int err = -EBADMSG;

	if (level >= STORE_HEIGHT || !extent_valid(s->super.blocks, block, 1))
		return err;
	n = node_alloc(s, level);
	if (!n)
		return -ENOMEM;
	err = s->ops->read(s->dev, block, n->page, 1);
	if (!err &&
	    (!hash128_equal(hash, hash128(n->page, STORE_BLOCK)) || !page_valid(s, n->page, level)))
		err = -EBADMSG;
	if (err) {
		node_free(s, n);
		return err;
	}
	n->block = block;
	*out = n;
	return 0;
}

/* Whether the child's keys lie between its own key and the next child's. */
static bool
kid_in_bounds(const struct bnode *n, unsigned i, const struct store_tree_page *p)
{
	struct key low = page_key(n->page, i), first, last;

	if (p->count == 0)
		return false;
	first = page_key(p, 0);
	last = page_key(p, p->count - 1u);
	if (key_cmp(first.oid, first.idx, low.oid, low.idx) < 0)
		return false;
	if (i + 1 == n->page->count)
		return true;
	low = page_key(n->page, i + 1);
	return key_cmp(last.oid, last.idx, low.oid, low.idx) < 0;
}

int
btree_kid(struct store *s, struct bnode *n, unsigned i, struct bnode **out)
{
	const struct store_child *c = &n->page->child[i];
	struct bnode *kid;
	int err;

	if (!n->kid[i]) {
		err = btree_load(s, c->block, c->hash, n->page->level - 1u, &kid);
		if (err)
			return err;
		if (!kid_in_bounds(n, i, kid->page)) {
			node_free(s, kid);
			return -EBADMSG;
		}
		if (s->tx.open && n->tx == s->tx.number)
			node_made(s, kid);
		else if (n->replaced)
			node_replaced(s, kid);
		n->kid[i] = kid;
	}
	*out = n->kid[i];
	return 0;
}

/* The last entry whose key is not above; 0 if all are. */
static unsigned
page_search(const struct store_tree_page *p, u64 oid, u64 idx)
{
	unsigned low = 0, high = p->count;

	while (low < high) {
		unsigned mid = (low + high) / 2;
		struct key k = page_key(p, mid);

		if (key_cmp(k.oid, k.idx, oid, idx) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? low - 1 : 0;
}

/* The same in a leaf, when the key is mostly the one behind `at`. */
static unsigned
leaf_search(const struct store_tree_page *p, unsigned at, u64 oid, u64 idx)
{
	if (at + 1u < p->count && p->item[at + 1].oid == oid && p->item[at + 1].idx == idx)
		return at + 1;
	return page_search(p, oid, idx);
}

int
btree_next(struct store *s, struct bnode *root, u64 oid, u64 idx, struct store_item *item)
{
	const struct store_tree_page *p = root->page;
	struct bnode *kid;
	int err;

	for (unsigned i = page_search(p, oid, idx); i < p->count; i++) {
		if (p->level == 0) {
			if (key_cmp(p->item[i].oid, p->item[i].idx, oid, idx) < 0)
				continue;
			*item = p->item[i];
			return 0;
		}
		err = btree_kid(s, root, i, &kid);
		if (!err)
			err = btree_next(s, kid, oid, idx, item);
		if (err != -ENOENT)
			return err;
	}
	return -ENOENT;
}

static struct bnode *
node_copy(struct store *s, const struct bnode *old)
{
	struct bnode *n = store_zalloc(s, sizeof(*n));
	size_t kids = (STORE_INNER_MAX + 1) * sizeof(n->kid[0]);

	if (!n)
		return NULL;
	n->page = s->ops->alloc(STORE_BLOCK);
	n->kid = old->kid ? s->ops->alloc(kids) : NULL;
	if (!n->page || (old->kid && !n->kid)) {
		node_free(s, n);
		return NULL;
	}
	memcpy(n->page, old->page, STORE_BLOCK);
	if (n->kid)
		memcpy(n->kid, old->kid, kids);
	return n;
}

/* Makes *np a node that the transaction may change. */
static int
writable(struct store *s, struct bnode **np)
{
	struct bnode *old = *np, *n = old;
	int err = old->block ? space_dying(s, &s->tx.base_dead, old->block) : 0;

	if (err)
		return err;
	if (old->tx != s->tx.number) {
		n = node_made(s, node_copy(s, old));
		if (!n)
			return -ENOMEM;
		node_replaced(s, old);
	}
	n->block = 0;
	*np = n;
	return 0;
}

/* A node that the tree in the making has no more. => it was writable */
static void
node_gone(struct bnode *n)
{
	n->dead = true;
}

static void
leaf_open(struct store_tree_page *p, unsigned at)
{
	memmove(&p->item[at + 1], &p->item[at], (p->count - at) * sizeof(p->item[0]));
	p->count++;
}

static void
inner_put(struct bnode *n, unsigned at, struct bnode *kid)
{
	struct store_tree_page *p = n->page;
	struct key k = page_key(kid->page, 0);

	memmove(&p->child[at + 1], &p->child[at], (p->count - at) * sizeof(p->child[0]));
	memmove(&n->kid[at + 1], &n->kid[at], (p->count - at) * sizeof(n->kid[0]));
	p->count++;
	p->child[at] = (struct store_child){.oid = k.oid, .idx = k.idx};
	n->kid[at] = kid;
}

/* Moves the upper half of a full node into a new one. */
static int
node_split(struct store *s, struct bnode *n, struct bnode **out)
{
	struct store_tree_page *p = n->page, *q;
	struct bnode *right = node_made(s, node_alloc(s, p->level));
	unsigned keep = p->count / 2u;

	if (!right)
		return -ENOMEM;
	q = right->page;
	q->count = (u16)(p->count - keep);
	if (p->level) {
		memcpy(q->child, &p->child[keep], q->count * sizeof(q->child[0]));
		memcpy(right->kid, &n->kid[keep], q->count * sizeof(n->kid[0]));
		memset(&n->kid[keep], 0, q->count * sizeof(n->kid[0]));
		memset(&p->child[keep], 0, q->count * sizeof(p->child[0]));
	} else {
		memcpy(q->item, &p->item[keep], q->count * sizeof(q->item[0]));
		memset(&p->item[keep], 0, q->count * sizeof(p->item[0]));
	}
	p->count = (u16)keep;
	*out = right;
	return 0;
}

struct insertion {
	const struct store_item *item;
	struct store_item *old;
	bool had;
};

static int
insert_leaf(struct store *s, struct bnode *n, struct insertion *in, struct bnode **split)
{
	struct store_tree_page *p = n->page;
	const struct store_item *item = in->item;
	unsigned at = page_search(p, item->oid, item->idx);
	int order = p->count ? key_cmp(p->item[at].oid, p->item[at].idx, item->oid, item->idx) : 1;
	int err;

	if (order == 0) {
		*in->old = p->item[at];
		in->had = true;
		p->item[at] = *item;
		return 0;
	}
	if (p->count == STORE_LEAF_MAX) {
		err = node_split(s, n, split);
		if (err)
			return err;
		if (at >= p->count) {
			at -= p->count;
			p = (*split)->page;
		}
	}
	at += order < 0;
	leaf_open(p, at);
	p->item[at] = *item;
	return 0;
}

static int
insert_at(struct store *s, struct bnode **np, struct insertion *in, struct bnode **split)
{
	struct bnode *n, *kid, *more = NULL;
	unsigned i;
	int err = writable(s, np);

	if (err)
		return err;
	n = *np;
	if (n->page->level == 0)
		return insert_leaf(s, n, in, split);
	i = page_search(n->page, in->item->oid, in->item->idx);
	err = btree_kid(s, n, i, &kid);
	if (!err)
		err = insert_at(s, &n->kid[i], in, &more);
	if (err)
		return err;
	kid = n->kid[i];
	n->page->child[i] = (struct store_child){.oid = page_key(kid->page, 0).oid,
						 .idx = page_key(kid->page, 0).idx};
	if (!more)
		return 0;
	if (n->page->count == STORE_INNER_MAX) {
		err = node_split(s, n, split);
		if (err)
			return err;
		if (i >= n->page->count) {
			i -= n->page->count;
			n = *split;
		}
	}
	inner_put(n, i + 1, more);
	return 0;
}

/* Finds the leaf and the place for the key, from where the last one was or from the root. */
static int
near_find(struct store *s, u64 oid, u64 idx)
{
	struct near *near = &s->tx.near;
	struct bnode *n = near->leaf;

	if (n && n->page->count > 0 &&
	    key_cmp(n->page->item[0].oid, n->page->item[0].idx, oid, idx) <= 0 &&
	    (!near->bounded || key_cmp(oid, idx, near->limit.oid, near->limit.idx) < 0)) {
		near->at = leaf_search(n->page, near->at, oid, idx);
		return 0;
	}
	near->leaf = NULL;
	near->bounded = false;
	for (n = s->tx.root; n->page->level > 0;) {
		unsigned i = page_search(n->page, oid, idx);
		int err;

		if (i + 1u < n->page->count) {
			near->bounded = true;
			near->limit = page_key(n->page, i + 1);
		}
		err = btree_kid(s, n, i, &n);
		if (err)
			return err;
	}
	near->leaf = n;
	near->at = page_search(n->page, oid, idx);
	return 0;
}

/* The item that is replaced, of a leaf that the committed tree has. */
static int
undo_note(struct store *s, struct bnode *leaf, unsigned at)
{
	struct vec *undo = &s->tx.undo;
	int err = vec_room(s, undo, UNDO_WORDS);

	if (err)
		return err;
	vec_add(undo, (u64)leaf);
	vec_add(undo, at);
	memcpy(vec_at(undo, undo->n), &leaf->page->item[at], sizeof(leaf->page->item[at]));
	undo->n += sizeof(leaf->page->item[at]) / sizeof(u64);
	return 0;
}

static void
undo_all(struct vec *undo)
{
	while (undo->n > 0) {
		struct bnode *leaf;
		u64 at;

		undo->n -= UNDO_WORDS;
		leaf = (struct bnode *)*vec_at(undo, undo->n);
		at = *vec_at(undo, undo->n + 1);
		memcpy(&leaf->page->item[at], vec_at(undo, undo->n + 2),
		       sizeof(leaf->page->item[at]));
	}
}

/* Puts the item where it was found to belong, if that changes this leaf alone.
 * => returns 1, 0 when more has to change, or -ENOMEM */
static int
put_near(struct store *s, struct insertion *in)
{
	struct near *near = &s->tx.near;
	struct bnode *n = near->leaf;
	struct store_tree_page *p = n->page;
	struct store_item *at = &p->item[near->at];
	bool own = n->tx == s->tx.number;
	int order, err;

	if (n->block || p->count == 0)
		return 0;
	order = key_cmp(at->oid, at->idx, in->item->oid, in->item->idx);
	if (order == 0 && (own || s->tx.in_place)) {
		err = own ? 0 : undo_note(s, n, near->at);
		if (err)
			return err;
		*in->old = *at;
		in->had = true;
		*at = *in->item;
		return 1;
	}
	if (order >= 0 || !own || p->count == STORE_LEAF_MAX)
		return 0;
	leaf_open(p, ++near->at);
	p->item[near->at] = *in->item;
	return 1;
}

int
btree_insert(struct store *s, const struct store_item *item, struct store_item *old, bool *had)
{
	struct insertion in = {.item = item, .old = old};
	struct bnode *more = NULL, *top;
	int err = near_find(s, item->oid, item->idx);

	if (!err)
		err = put_near(s, &in);
	*had = in.had;
	if (err)
		return err < 0 ? err : 0;
	s->tx.near.leaf = NULL;
	err = insert_at(s, &s->tx.root, &in, &more);
	*had = in.had;
	if (err || !more)
		return err;
	if (s->tx.root->page->level + 1u >= STORE_HEIGHT)
		return -ENOSPC;
	top = node_made(s, node_alloc(s, s->tx.root->page->level + 1u));
	if (!top)
		return -ENOMEM;
	inner_put(top, 0, s->tx.root);
	inner_put(top, 1, more);
	s->tx.root = top;
	return 0;
}

static void
inner_take(struct bnode *n, unsigned at)
{
	struct store_tree_page *p = n->page;
	unsigned above = p->count - at - 1u;

	memmove(&p->child[at], &p->child[at + 1], above * sizeof(p->child[0]));
	memmove(&n->kid[at], &n->kid[at + 1], above * sizeof(n->kid[0]));
	p->count--;
	n->kid[p->count] = NULL;
	memset(&p->child[p->count], 0, sizeof(p->child[0]));
}

/* Joins children at and at + 1 if they fit into three quarters of one. */
static int
merge_kids(struct store *s, struct bnode *n, unsigned at)
{
	struct bnode *a, *b;
	unsigned na, nb;
	int err = btree_kid(s, n, at, &a);

	if (!err)
		err = btree_kid(s, n, at + 1, &b);
	if (err)
		return err;
	na = a->page->count;
	nb = b->page->count;
	if (na + nb > (a->page->level ? STORE_INNER_MAX : STORE_LEAF_MAX) * 3 / 4)
		return 0;
	err = writable(s, &n->kid[at]);
	if (!err)
		err = writable(s, &n->kid[at + 1]);
	if (err)
		return err;
	a = n->kid[at];
	b = n->kid[at + 1];
	if (a->page->level) {
		memcpy(&a->page->child[na], b->page->child, nb * sizeof(b->page->child[0]));
		memcpy(&a->kid[na], b->kid, nb * sizeof(b->kid[0]));
	} else {
		memcpy(&a->page->item[na], b->page->item, nb * sizeof(b->page->item[0]));
	}
	a->page->count = (u16)(na + nb);
	node_gone(b);
	inner_take(n, at + 1);
	return 0;
}

static int
remove_leaf(struct bnode *n, u64 oid, u64 idx, struct store_item *old)
{
	struct store_tree_page *p = n->page;
	unsigned at = page_search(p, oid, idx);

	if (p->count == 0 || key_cmp(p->item[at].oid, p->item[at].idx, oid, idx) != 0)
		return -ENOENT;
	*old = p->item[at];
	memmove(&p->item[at], &p->item[at + 1], (p->count - at - 1u) * sizeof(p->item[0]));
	p->count--;
	memset(&p->item[p->count], 0, sizeof(p->item[0]));
	return 0;
}

static int
remove_at(struct store *s, struct bnode **np, u64 oid, u64 idx, struct store_item *old)
{
	struct bnode *n, *kid;
	unsigned i, max;
	int err = writable(s, np);

	if (err)
		return err;
	n = *np;
	if (n->page->level == 0)
		return remove_leaf(n, oid, idx, old);
	i = page_search(n->page, oid, idx);
	err = btree_kid(s, n, i, &kid);
	if (!err)
		err = remove_at(s, &n->kid[i], oid, idx, old);
	if (err)
		return err;
	kid = n->kid[i];
	if (kid->page->count == 0) {
		node_gone(kid);
		inner_take(n, i);
		return 0;
	}
	n->page->child[i] = (struct store_child){.oid = page_key(kid->page, 0).oid,
						 .idx = page_key(kid->page, 0).idx};
	max = kid->page->level ? STORE_INNER_MAX : STORE_LEAF_MAX;
	if (kid->page->count >= max / 4 || n->page->count < 2)
		return 0;
	return merge_kids(s, n, i + 1u < n->page->count ? i : i - 1);
}

/* => there is such an item */
int
btree_remove(struct store *s, u64 oid, u64 idx, struct store_item *old)
{
	struct bnode *root, *kid;
	int err;

	s->tx.near.leaf = NULL;
	err = remove_at(s, &s->tx.root, oid, idx, old);

	while (!err && s->tx.root->page->level > 0 && s->tx.root->page->count == 1) {
		root = s->tx.root;
		err = btree_kid(s, root, 0, &kid);
		if (err)
			return err;
		node_gone(root);
		s->tx.root = kid;
	}
	if (!err && s->tx.root->page->level > 0 && s->tx.root->page->count == 0) {
		node_gone(s->tx.root);
		s->tx.root = node_made(s, node_alloc(s, 0));
		err = s->tx.root ? 0 : -ENOMEM;
	}
	return err;
}

void
btree_free(struct store *s, struct bnode *n)
{
	for (unsigned i = 0; n->page->level && i < n->page->count; i++)
		if (n->kid[i])
			btree_free(s, n->kid[i]);
	node_free(s, n);
}

/* The transaction is over, for good or for nothing: the committed tree may have been changed. */
void
btree_settle(struct store *s, bool keep)
{
	struct bnode *n, *next;

	if (!keep)
		undo_all(&s->tx.undo);
	vec_clear(s, &s->tx.undo);
	s->tx.near.leaf = NULL;
	for (n = s->tx.made; n; n = next) {
		next = n->next;
		if (!keep || n->dead)
			node_free(s, n);
	}
	for (n = s->tx.garbage; n; n = next) {
		next = n->next;
		n->replaced = false;
		if (keep)
			node_free(s, n);
	}
	s->tx.made = s->tx.garbage = NULL;
}
