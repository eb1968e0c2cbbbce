/*
 * Red-black trees (see rbtree.h), after Cormen, Leiserson, Rivest and Stein, chapter 13, with null
 * pointers for the black leaves.
 *
 * Invariants: the root is black, a red node has no red child, and every way down from a node to a
 * leaf passes the same number of black nodes.
 */
#include "lib/rbtree.h"

static bool
is_red(const struct rb_node *n)
{
	return n != NULL && n->red;
}

/* Puts `to` into the place that `from` has below its parent. */
static void
replace_child(struct rb_tree *t, struct rb_node *from, struct rb_node *to)
{
	struct rb_node *p = from->parent;

	if (p == NULL)
		t->root = to;
	else if (p->left == from)
		p->left = to;
	else
		p->right = to;
	if (to != NULL)
		to->parent = p;
}

static void
rotate_left(struct rb_tree *t, struct rb_node *x)
{
	struct rb_node *y = x->right;

	replace_child(t, x, y);
	x->right = y->left;
	if (x->right != NULL)
		x->right->parent = x;
	y->left = x;
	x->parent = y;
}

static void
rotate_right(struct rb_tree *t, struct rb_node *x)
{
	struct rb_node *y = x->left;

	replace_child(t, x, y);
	x->left = y->right;
	if (x->left != NULL)
		x->left->parent = x;
	y->right = x;
	x->parent = y;
}

/* One step at a red node n below a red parent; returns where to look next. */
static struct rb_node *
insert_fix(struct rb_tree *t, struct rb_node *n)
{
	struct rb_node *p = n->parent, *g = p->parent;
	bool left = p == g->left;
	struct rb_node *uncle = left ? g->right : g->left;

	if (is_red(uncle)) {
		p->red = false;
		uncle->red = false;
		g->red = true;
		return g;
	}
	if (left && n == p->right) {
		rotate_left(t, p);
		p = n;
	} else if (!left && n == p->left) {
		rotate_right(t, p);
		p = n;
	}
	p->red = false;
	g->red = true;
	if (left)
		rotate_right(t, g);
	else
		rotate_left(t, g);
	return p;
}

void
rb_insert(struct rb_tree *t, struct rb_node *n, struct rb_node *parent, struct rb_node **link)
{
	n->parent = parent;
	n->left = NULL;
	n->right = NULL;
	n->red = true;
	*link = n;
	while (n->red && is_red(n->parent))
		n = insert_fix(t, n);
	t->root->red = false;
}

/* One step of giving the way through n (maybe NULL, below p) a black node more; n != root. */
static struct rb_node *
remove_fix(struct rb_tree *t, struct rb_node *n, struct rb_node *p)
{
	bool left = n == p->left;
	struct rb_node *s = left ? p->right : p->left;
	struct rb_node *near, *far;

	if (s->red) {
		s->red = false;
		p->red = true;
		if (left)
			rotate_left(t, p);
		else
			rotate_right(t, p);
		s = left ? p->right : p->left;
	}
	near = left ? s->left : s->right;
	far = left ? s->right : s->left;
	if (!is_red(near) && !is_red(far)) {
		s->red = true;
		return p;
	}
	if (!is_red(far)) {
		near->red = false;
		s->red = true;
		if (left)
			rotate_right(t, s);
		else
			rotate_left(t, s);
		far = s;
		s = near;
	}
	s->red = p->red;
	p->red = false;
	far->red = false;
	if (left)
		rotate_left(t, p);
	else
		rotate_right(t, p);
	return t->root;
}

void
rb_remove(struct rb_tree *t, struct rb_node *n)
{
	struct rb_node *child, *parent;
	bool lost_black;

	if (n->left != NULL && n->right != NULL) {
		struct rb_node *next = rb_next(n);

		/* The successor has no left child; it takes n's place and colour. */
		child = next->right;
		parent = next->parent == n ? next : next->parent;
		lost_black = !next->red;
		replace_child(t, next, child);
		replace_child(t, n, next);
		next->red = n->red;
		next->left = n->left;
		next->right = n->right;
		next->left->parent = next;
		if (next->right != NULL)
			next->right->parent = next;
	} else {
		child = n->left != NULL ? n->left : n->right;
		parent = n->parent;
		lost_black = !n->red;
		replace_child(t, n, child);
	}
	while (lost_black && child != t->root && !is_red(child)) {
		child = remove_fix(t, child, parent);
		parent = child->parent;
	}
	if (child != NULL)
		child->red = false;
	n->parent = NULL;
	n->left = NULL;
	n->right = NULL;
}

struct rb_node *
rb_first(const struct rb_tree *t)
{
	struct rb_node *n = t->root;

	while (n != NULL && n->left != NULL)
		n = n->left;
	return n;
}

struct rb_node *
rb_last(const struct rb_tree *t)
{
	struct rb_node *n = t->root;

	while (n != NULL && n->right != NULL)
		n = n->right;
	return n;
}

struct rb_node *
rb_next(const struct rb_node *n)
{
	if (n->right != NULL) {
		const struct rb_tree sub = {n->right};

		return rb_first(&sub);
	}
	while (n->parent != NULL && n == n->parent->right)
		n = n->parent;
	return n->parent;
}

struct rb_node *
rb_prev(const struct rb_node *n)
{
	if (n->left != NULL) {
		const struct rb_tree sub = {n->left};

		return rb_last(&sub);
	}
	while (n->parent != NULL && n == n->parent->left)
		n = n->parent;
	return n->parent;
}
