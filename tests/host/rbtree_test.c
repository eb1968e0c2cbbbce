/* Red-black trees: order, balance and colours hold through random insertions and removals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include "lib/types.h"
#include <cmocka.h>

#include "lib/rbtree.h"

struct item {
	struct rb_node node;
	unsigned key;
	bool in;
};

#define ITEMS 500

static void
insert(struct rb_tree *t, struct item *it)
{
	struct rb_node **link = &t->root, *parent = NULL;

	while (*link) {
		parent = *link;
		link = it->key < rb_entry(parent, struct item, node)->key ? &parent->left
									  : &parent->right;
	}
	rb_insert(t, &it->node, parent, link);
	it->in = true;
}

/* Black height; fails the test on a broken rule. */
static int
check(const struct rb_node *n)
{
	int l, r;

	if (n == NULL)
		return 0;
	if (n->left)
		assert_ptr_equal(n->left->parent, n);
	if (n->right)
		assert_ptr_equal(n->right->parent, n);
	if (n->red) {
		assert_false(n->left && n->left->red);
		assert_false(n->right && n->right->red);
	}
	l = check(n->left);
	r = check(n->right);
	assert_int_equal(l, r);
	return l + !n->red;
}

static void
check_walk(const struct rb_tree *t, const struct item *items)
{
	struct rb_node *n = rb_first(t), *last = NULL;

	for (unsigned i = 0; i < ITEMS; i++) {
		if (!items[i].in)
			continue;
		assert_ptr_equal(n, &items[i].node);
		assert_ptr_equal(rb_prev(n), last);
		last = n;
		n = rb_next(n);
	}
	assert_null(n);
	assert_ptr_equal(rb_last(t), last);
	assert_false(t->root && t->root->red);
	check(t->root);
}

/* Do a thousand random changes keep every rule? */
static void
random_changes(void **state)
{
	struct rb_tree t = {NULL};
	struct item *items = calloc(ITEMS, sizeof(*items));

	srand(7);
	for (unsigned i = 0; i < ITEMS; i++)
		items[i].key = i;
	for (unsigned step = 0; step < 20000; step++) {
		struct item *it = &items[(unsigned)rand() % ITEMS];

		if (it->in) {
			rb_remove(&t, &it->node);
			it->in = false;
		} else {
			insert(&t, it);
		}
		if (step % 50 == 0)
			check_walk(&t, items);
	}
	for (unsigned i = 0; i < ITEMS; i++) {
		if (items[i].in)
			rb_remove(&t, &items[i].node);
		items[i].in = false;
		check(t.root);
	}
	assert_null(t.root);
	free(items);
}

/* Does ascending insertion stay balanced and removal from the front work (a run queue's use)? */
static void
queue_use(void **state)
{
	struct rb_tree t = {NULL};
	struct item *items = calloc(ITEMS, sizeof(*items));

	for (unsigned i = 0; i < ITEMS; i++) {
		items[i].key = i;
		insert(&t, &items[i]);
	}
	check_walk(&t, items);
	for (unsigned i = 0; i < ITEMS; i++) {
		assert_ptr_equal(rb_first(&t), &items[i].node);
		rb_remove(&t, rb_first(&t));
		items[i].in = false;
		check(t.root);
	}
	free(items);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_changes),
		cmocka_unit_test(queue_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
