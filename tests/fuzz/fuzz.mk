# The readers of foreign data under libFuzzer: clang, ASan and UBSan.
# `make fuzz T=60` runs each target for T seconds.
F_CC      ?= clang
F_TARGETS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/*_fuzz.c))
F_LIB     := $(wildcard kernel/lib/*.c)
F_STORE   := $(wildcard kernel/store/*.c)
F_CFLAGS  := -std=gnu11 -O1 -g -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-DHOLDFAST_HOST -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Ikernel

# Its own hash takes whatever is changed for right.
$(B)/fuzz/store_fuzz: tests/fuzz/store_fuzz.c tests/fuzz/fuzz.h $(F_LIB) $(F_STORE) $(H_HEADERS)
	@mkdir -p $(@D)
	@echo "  fuzzer  $@"; $(F_CC) $(F_CFLAGS) -Itests/host -o $@ $< \
		$(filter-out kernel/lib/hash.c,$(F_LIB)) $(F_STORE)

$(B)/fuzz/%: tests/fuzz/%.c tests/fuzz/fuzz.h $(F_LIB) $(wildcard kernel/lib/*.h)
	@mkdir -p $(@D)
	@echo "  fuzzer  $@"; $(F_CC) $(F_CFLAGS) -o $@ $< $(F_LIB)

.PHONY: fuzz fuzz-targets fuzz-calls
fuzz-targets: $(F_TARGETS)

fuzz: fuzz-targets
	@$(PYTHON) tests/fuzz/run.py --time $(or $(T),60)

# Random arguments to every call in a guest: T seconds on F_CPUS cores, from seed SEED.
F_CPUS ?= 4
SEED   ?= $(shell date +%s)
fuzz-calls: all
	@$(MAKE) --no-print-directory -s -f tests/abi/abi.mk abi
	@echo "seed $(SEED)"; ./holdfast run --headless --base busybox --cpus $(F_CPUS) --memory 512M \
		--add build/abi/fuzz:/abi/fuzz -- /abi/fuzz -g -t $(or $(T),600) -s $(SEED)
