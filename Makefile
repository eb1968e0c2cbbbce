# Holdfast's front door.
#
#   make run                 the Erlang shell on this terminal
#   make test                every test; ends with 'N passed, N failed'
#   make check               style and static checks, silent when right
#   make bench               the table of figures, Linux beside Holdfast
#   make boot-gate N=200     boot N times, every one has to succeed
#   make fuzz T=60           the readers of foreign data under libFuzzer, T seconds each
#   make fuzz-calls T=600    random arguments to every system call in a guest, T seconds
#   make debug               boot halted, with gdb attached
#   make deps                install what is missing on this host
#   make clean               remove build/ but keep the downloads

.DEFAULT_GOAL := all
SHELL         := /bin/sh
PYTHON        ?= /usr/bin/python3
BUILD         ?= build
N             ?= 200

KERNEL        := $(BUILD)/holdfast.elf $(BUILD)/holdfast-pvh.elf
export HOLDFAST_BUILD := $(abspath $(BUILD))

.PHONY: all help deps run test check bench boot-gate debug clean distclean
.PHONY: test-host test-abi test-system

help:
	@sed -n '/^#   make/s/^#   //p' Makefile

deps:
	@sh tools/deps.sh

run: deps
	@$(MAKE) --no-print-directory all
	@./holdfast run $(RUN)

# --- kernel ---
B := $(BUILD)
all: $(KERNEL)
include kernel.mk
include tests/fuzz/fuzz.mk
# --- end of kernel ---

test: deps
	@$(MAKE) --no-print-directory all
	@$(PYTHON) tools/test.py $(if $(ONLY),--only $(ONLY))

check: deps
	@$(PYTHON) tools/check/all.py

bench: deps
	@$(MAKE) --no-print-directory all
	@$(PYTHON) bench/bench.py $(BENCH)

boot-gate: deps
	@$(MAKE) --no-print-directory all
	@$(PYTHON) tests/system/boot_gate.py --count $(N)

debug: deps
	@$(MAKE) --no-print-directory all
	@sh tools/debug.sh $(RUN)

clean:
	@find $(BUILD) -mindepth 1 -maxdepth 1 ! -name cache -exec rm -rf {} + 2>/dev/null || true

distclean:
	@rm -rf $(BUILD)
