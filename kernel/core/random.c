/*
 * Random numbers: a pool that everything stirs into, and a ChaCha20 generator per core with fast
 * key erasure: each request takes a block, whose first half becomes the next key.
 *
 * Locks: random->lock (rank RANK_LOG: a leaf) guards the pool. Generators belong to their core and
 * are used with interrupts off.
 */
#include "core/random.h"
#include "arch/cpu.h"
#include "core/core.h"
#include "core/random_state.h"
#include "lib/atomic.h"
#include "lib/chacha.h"
#include "lib/string.h"

#define BLOCK	  64
#define KEY_BYTES 32

static bool
hardware_word(u64 *out)
{
	u32 r[4];
	u8 ok = 0;

	cpuid(1, 0, r);
	if (!(r[2] & (1u << 30)))
		return false;
	for (int i = 0; i < 10 && !ok; i++)
		__asm__ volatile("rdrand %0; setc %1" : "=r"(*out), "=qm"(ok) : : "cc");
	return ok;
}

/* Stirs the pool: XOR of the input and a ChaCha20 block over itself. => lock held. */
static void
stir(struct random *r, const u8 *data, size_t n)
{
	const u32 nonce[3] = {0x73746972, (u32)rdtsc(), (u32)n};
	u8 block[BLOCK];

	for (size_t i = 0; i < n; i++)
		r->pool[(r->at++) % KEY_BYTES] ^= data[i];
	chacha20_block((const u32 *)r->pool, r->stirs++, nonce, block);
	memcpy(r->pool, block, KEY_BYTES);
}

void
random_add(const void *data, size_t n)
{
	struct random *r = machine()->random;

	spin_lock(&r->lock);
	stir(r, data, n);
	atomic_store(&r->generation, r->generation + 1);
	spin_unlock(&r->lock);
}

void
random_init(void)
{
	struct random *r = machine()->random;

	spin_init(&r->lock, "random", RANK_LOG);
	for (int i = 0; i < 8; i++) {
		u64 words[2] = {rdtsc(), 0};

		hardware_word(&words[1]);
		random_add(words, sizeof(words));
	}
}

/* A new key for this core from the pool. */
static void
rekey(struct random_core *g, struct random *r)
{
	const u32 nonce[3] = {0x636f7265, this_core()->arch.index, 0};
	u64 words[2] = {rdtsc(), 0};
	u8 block[BLOCK];

	hardware_word(&words[1]);
	spin_lock(&r->lock);
	stir(r, (const u8 *)words, sizeof(words));
	g->generation = r->generation;
	chacha20_block((const u32 *)r->pool, 0, nonce, block);
	memcpy(g->key, block, KEY_BYTES);
	stir(r, block + KEY_BYTES, KEY_BYTES); /* the pool does not give this key twice */
	spin_unlock(&r->lock);
	memset(block, 0, sizeof(block));
}

void
random_bytes(void *buf, size_t n)
{
	struct random *r = machine()->random;
	u8 *out = buf;

	while (n > 0) {
		size_t k = min(n, (size_t)(BLOCK - KEY_BYTES));
		const u32 nonce[3] = {0};
		struct random_core *g;
		u8 block[BLOCK];

		irq_push_off();
		g = this_core()->random;
		if (g->generation != atomic_load(&r->generation))
			rekey(g, r);
		chacha20_block(g->key, 0, nonce, block);
		memcpy(g->key, block, KEY_BYTES);
		irq_pop_off();
		memcpy(out, block + KEY_BYTES, k);
		memset(block, 0, sizeof(block));
		out += k;
		n -= k;
	}
}

u64
random_u64(void)
{
	u64 v;

	random_bytes(&v, sizeof(v));
	return v;
}
