# The readers of foreign data under libFuzzer: clang, ASan and UBSan.
# `make fuzz T=60` runs each target for T seconds.
F_CC      ?= clang
F_TARGETS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/*_fuzz.c))
F_LIB     := $(wildcard kernel/lib/*.c)
F_CFLAGS  := -std=gnu11 -O1 -g -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-DHOLDFAST_HOST -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Ikernel

$(B)/fuzz/%: tests/fuzz/%.c tests/fuzz/fuzz.h $(F_LIB) $(wildcard kernel/lib/*.h)
	@mkdir -p $(@D)
	@echo "  fuzzer  $@"; $(F_CC) $(F_CFLAGS) -o $@ $< $(F_LIB)

.PHONY: fuzz fuzz-targets
fuzz-targets: $(F_TARGETS)

fuzz: fuzz-targets
	@$(PYTHON) tests/fuzz/run.py --time $(or $(T),60)
