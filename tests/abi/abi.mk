# Builds the programs of tests/abi as build/abi/NAME, statically linked, so
# that the same file runs on Linux and on Holdfast. Included by the Makefile;
# alone: make -f tests/abi/abi.mk abi

ABI_CC ?= gcc
# Bad pointers and lengths are given on purpose: their warnings are off.
ABI_CFLAGS := -std=gnu11 -O1 -Wall -Wextra -Werror -pthread \
	-Wno-nonnull -Wno-stringop-overflow -Wno-stringop-overread
ABI_SOURCES := $(wildcard tests/abi/*.c)
ABI_PROGRAMS := $(patsubst tests/abi/%.c,build/abi/%,$(ABI_SOURCES))
ABI_SCRIPTS := build/abi/script.sh build/abi/script.expected \
	build/abi/run-guest

.PHONY: abi
abi: $(ABI_PROGRAMS) $(ABI_SCRIPTS)

$(ABI_PROGRAMS): build/abi/%: tests/abi/%.c tests/abi/abi.h
	@mkdir -p $(@D)
	$(ABI_CC) $(ABI_CFLAGS) -static -o $@ $< $(ABI_LIBS_$*)

$(ABI_SCRIPTS): build/abi/%: tests/abi/%
	@mkdir -p $(@D)
	cp $< $@
