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

# mmap, munmap, mprotect and fork from every core of four clusters for T seconds, with the walk over
# all memory after each round.
S_SCRIPT = end=$$(($$(date +%s) + $(or $(T),600))); n=0; while [ $$(date +%s) -lt $$end ]; do \
	/abi/memstorm >/tmp/out || { cat /tmp/out; exit 1; }; n=$$((n + 1)); \
	cat /proc/holdfast/check >/tmp/check; grep -q "^broken 0" /tmp/check || { cat /tmp/check; exit 2; }; \
	done; cat /tmp/check; echo "$$n rounds"
.PHONY: storm
storm: all
	@$(MAKE) --no-print-directory -s -f tests/abi/abi.mk abi
	@./holdfast run --headless --base busybox --cpus 8 --clusters 4 --memory 1G \
		--add build/abi/memstorm:/abi/memstorm -- sh -c '$(S_SCRIPT)'
