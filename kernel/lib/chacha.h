/* The ChaCha20 block function (RFC 8439 2.3): 64 bytes from a key, a counter and a nonce. */
#ifndef LIB_CHACHA_H
#define LIB_CHACHA_H

#include "lib/types.h"

void chacha20_block(const u32 key[8], u32 counter, const u32 nonce[3], u8 out[64]);

#endif
