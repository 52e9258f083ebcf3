# dk: build, test, install; and the front door to the pipelines.
SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS   += -rR
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

CC      ?= gcc
ifeq ($(origin CC),default)
CC      := gcc
endif
AR      := gcc-ar
prefix  ?= /usr/local
DESTDIR ?=
B       ?= build$(if $(SAN),-san)

# --- flags ---------------------------------------------------------------
comma   := ,
PKGS    := hdf5 libzstd yaml-0.1 jansson libcrypto libcurl libzip libpcre2-8 libutf8proc zlib
WARN    := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
           -Wpointer-arith -Wundef -Wformat=2
OPT     := $(if $(SAN),-O1 -g -fsanitize=address$(comma)undefined -fno-sanitize-recover=all \
           -fno-omit-frame-pointer,-O3 -g -fno-math-errno -fno-trapping-math -ffp-contract=off)
CFLAGS  ?=
ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE $(WARN) $(OPT) -fopenmp -Ilib -I$B $(PKG_CFLAGS) \
           -DDK_BUILD_FLAGS='"$(strip $(OPT))"' $(CFLAGS)
LDFLAGS ?=
ALL_LDFLAGS = -Wl,--as-needed -fopenmp $(if $(SAN),-fsanitize=address$(comma)undefined) $(LDFLAGS)
# Asked for once, when something is compiled, not on every run of make.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS)))$(PKG_LIBS)
LIBS    = $(PKG_LIBS) -ldnnl -lm

# --- what is built: a new tool is a new file in tools/ --------------------
LIB_SRC  := $(filter-out lib/cli/main.c,$(wildcard lib/*/*.c))
LIB_OBJ  := $(LIB_SRC:%.c=$B/%.o)
TOOL_SRC := $(wildcard tools/*.c)
TOOLS    := $(TOOL_SRC:tools/%.c=$B/bin/%)
UNIT     := $(patsubst tests/unit/%.c,$B/tests/%,$(wildcard tests/unit/test_*.c))
HELPERS  := $(patsubst tests/helper/%.c,$B/helper/%,$(wildcard tests/helper/*.c))

.PHONY: all
all: $(TOOLS)

# Changed flags rebuild: the stamp is rewritten only when its text changes.
FLAGS_TEXT := $(CC) $(OPT) $(WARN) $(CFLAGS) $(LDFLAGS)
$(shell mkdir -p $B; [ "$$(cat $B/flags 2>/dev/null)" = "$(FLAGS_TEXT)" ] || echo "$(FLAGS_TEXT)" > $B/flags)

$B/%.o: %.c $B/flags
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Kernels are tested to a tolerance and want fused multiply-adds; block formats
# must dequantise bit for bit and must not have them.
$B/lib/num/kernel_%.o: CFLAGS += -ffp-contract=fast

$B/libdk.a: $(LIB_OBJ)
	@rm -f $@
	@$(AR) rcs $@ $^

$B/bin/%: $B/tools/%.o $B/lib/cli/main.o $B/libdk.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$B/tests/%: $B/tests/unit/%.o $B/libdk.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# Programs that make what tests need.
.PHONY: helpers
helpers: $(HELPERS)
$B/helper/%: $B/tests/helper/%.o $B/libdk.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# Its passes go through a wrapper that breaks them.
$B/tests/test_check: LDFLAGS += -Wl,--wrap=dk_runner_forward

-include $(shell find $B -name '*.d' 2>/dev/null)

.PHONY: clean
clean:
	rm -rf build build-san
