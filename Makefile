# dk: build, test, install; and the front door to the pipelines.
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
PKGS    := libzstd yaml-0.1 jansson libcrypto libcurl libzip libpcre2-8 libutf8proc zlib
WARN    := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
           -Wpointer-arith -Wundef -Wformat=2
OPT     := $(if $(SAN),-O1 -g -fsanitize=address$(comma)undefined -fno-sanitize-recover=all \
           -fno-omit-frame-pointer,-O3 -g -fno-math-errno -fno-trapping-math -ffp-contract=off)
CFLAGS  ?=
DEFS    :=
ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE $(WARN) $(OPT) -fopenmp -Ilib -I$B $(PKG_CFLAGS) \
           $(DEFS) -DDK_BUILD_FLAGS='"$(strip $(OPT))"' $(CFLAGS)
LDFLAGS ?=
ALL_LDFLAGS = -Wl,--as-needed -fopenmp $(if $(SAN),-fsanitize=address$(comma)undefined) $(LDFLAGS)
# Asked for once, when something is compiled, not on every run of make.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS) hdf5 || echo missing))$(if \
             $(filter missing,$(PKG_CFLAGS)),$(error libraries are missing: run make deps))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS)))$(PKG_LIBS)
# The leak checker ends with a signal where threads use a library loaded later.
LIBS    = $(PKG_LIBS) -lm $(if $(SAN),-Wl$(comma)--no-as-needed -ldnnl -lopenblas)
# Loaded at first use, by the name that linking with it would have recorded.
HDF5    = $(shell pkg-config --libs hdf5)
soname  = $(or $(shell $(CC) -shared -o $B/$2.tmp -Wl,--no-as-needed $1 && readelf -d $B/$2.tmp | \
          sed -n 's/.*(NEEDED).*\[\($2[^]]*\)\].*/\1/p'; rm -f $B/$2.tmp),$(error $2 is missing: run make deps))

# --- what is built: a new tool is a new file in tools/ --------------------
LIB_SRC  := $(filter-out lib/cli/main.c lib/io/zstdplugin.c,$(wildcard lib/*/*.c))
LIB_OBJ  := $(LIB_SRC:%.c=$B/%.o)
TOOL_SRC := $(wildcard tools/*.c)
TOOLS    := $(TOOL_SRC:tools/%.c=$B/bin/%)
UNIT     := $(patsubst tests/unit/%.c,$B/tests/%,$(wildcard tests/unit/test_*.c))
HELPERS  := $(patsubst tests/helper/%.c,$B/helper/%,$(wildcard tests/helper/*.c))

# The zstd filter for other programs that read HDF5: see dk-formats(5).
PLUGIN   := $B/hdf5/libdkzstd.so

include lib/backend/cuda/build.mk

.PHONY: all
all: $(TOOLS) $(PLUGIN) $(if $(CUDA),$(CUDA_SO))
.SECONDARY: $(HELPERS:$B/helper/%=$B/tests/helper/%.o) $(LIB_OBJ) $(TOOL_SRC:%.c=$B/%.o) $(UNIT:$B/tests/%=$B/tests/unit/%.o) $B/lib/cli/main.o

# Changed flags rebuild: the stamp is rewritten only when its text changes.
FLAGS_TEXT := $(CC) $(OPT) $(WARN) $(CFLAGS) $(LDFLAGS)
$(shell mkdir -p $B; [ "$$(cat $B/flags 2>/dev/null)" = "$(FLAGS_TEXT)" ] || echo "$(FLAGS_TEXT)" > $B/flags)

$B/%.o: %.c $B/flags
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Kernels are tested to a tolerance and want fused multiply-adds; block formats
# must dequantise bit for bit and must not have them.
# Newer compilers split some chains of them for speed and not others: then two ways
# to the same sum have other bits.
$B/lib/num/kernel_%.o: CFLAGS += -ffp-contract=fast --param=avoid-fma-max-bits=0

$B/lib/io/h5dyn.o: DEFS = -DDK_HDF5_SONAME='"$(call soname,$(HDF5),libhdf5)"'
$B/lib/io/http.o: DEFS = -DDK_CURL_SONAME='"$(call soname,-lcurl,libcurl)"'
$B/lib/backend/blasdyn.o: DEFS = -DDK_BLAS_SONAME='"$(call soname,-lopenblas,libopenblas)"'
$B/lib/backend/dnnldyn.o: DEFS = -DDK_DNNL_SONAME='"$(call soname,-ldnnl,libdnnl)"'

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

# Loaded into programs that know nothing of sanitizers, so built without.
$(PLUGIN): lib/io/zstdplugin.c lib/io/zstdfilter.c lib/io/zstdfilter.h lib/io/h5priv.h $B/flags
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) -std=gnu17 -D_GNU_SOURCE $(WARN) -O2 -fPIC -shared -Ilib $(PKG_CFLAGS) $(CFLAGS) -Wl,--as-needed $(LDFLAGS) \
	    -o $@ $(filter %.c,$^) $(shell pkg-config --libs libzstd)

# --- fuzzing: "make fuzz FUZZ_TIME=600"; needs clang ------------------------
FUZZ      := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_TIME ?= 60
# All that reads foreign bytes; none of it uses OpenMP.
FUZZ_SRC  := $(filter-out lib/base/thread.c,$(wildcard lib/base/*.c)) \
             $(addprefix lib/num/,dequant.c exact.c infer.c replicate.c resample.c stats.c tree.c) \
             $(filter-out lib/io/zstdplugin.c,$(wildcard lib/io/*.c)) $(wildcard lib/text/*.c) lib/model/config.c \
             lib/model/configjson.c lib/model/configgguf.c lib/model/arch.c lib/model/configrow.c lib/model/tensors.c lib/model/loraconfig.c \
             $(addprefix lib/judge/,relevance.c relevancetext.c frequent.c client.c)
SEEDS_json           = tests/golden/mini/hf/*.json
SEEDS_gguf           = build/fuzz/sample.gguf tests/golden/tokens/families/*.gguf
SEEDS_safetensors    = tests/golden/mini/lora-*/*.safetensors
SEEDS_tokenizer      = tests/golden/mini/hf/chat_template.jinja
SEEDS_tokfile        = tests/data/tokenizers/*.json
SEEDS_jinja          = tests/data/templates/*.jinja
SEEDS_stream         = tests/fuzz/stream/*
SEEDS_parquet        = tests/fuzz/parquet/*
SEEDS_reply          = tests/fuzz/reply/*
SEEDS_adapter_config = tests/golden/mini/lora-*/*.json tests/golden/archs/*/lora/*.json
SEEDS_model_config   = tests/data/models/*.json tests/golden/archs/*/config.json tests/golden/mini/hf*/config.json

fuzz_build = clang -std=gnu17 -D_GNU_SOURCE -Ilib -O1 -g -fsanitize=$1 -fno-sanitize-recover=all \
    $(PKG_CFLAGS) -DDK_HDF5_SONAME='"$(call soname,$(HDF5),libhdf5)"' \
    -DDK_CURL_SONAME='"$(call soname,-lcurl,libcurl)"' -o $@ $^ $(PKG_LIBS) -lm
build/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(FUZZ_SRC)
	@mkdir -p $(@D)
	@echo "  FUZZ  $@"
	@$(call fuzz_build,fuzzer$(comma)address$(comma)undefined)

# HDF5 files are mutated one process a file: the library itself may crash.
build/fuzz/mutate_h5: tests/fuzz/mutate_h5.c $(FUZZ_SRC)
	@mkdir -p $(@D)
	@echo "  FUZZ  $@"
	@$(call fuzz_build,address$(comma)undefined)

.PHONY: fuzz
fuzz: $(FUZZ) build/fuzz/mutate_h5 build/tests/test_gguf
	@build/tests/test_gguf build/fuzz/sample.gguf > /dev/null
	@$(foreach f,$(FUZZ:build/fuzz/fuzz_%=%),mkdir -p build/fuzz/corpus-$f; \
	    cp --backup=numbered $(SEEDS_$f) build/fuzz/corpus-$f; \
	    build/fuzz/fuzz_$f -max_total_time=$(FUZZ_TIME) -print_final_stats=1 -verbosity=0 \
	        -max_len=20000 -artifact_prefix=build/fuzz/ build/fuzz/corpus-$f;)
	@cd build/fuzz && ./mutate_h5 $$(($(FUZZ_TIME) * 10))

# Programs that make what tests need.
.PHONY: helpers
helpers: $(HELPERS)
$B/helper/%: $B/tests/helper/%.o $B/libdk.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# A hub, and a judge, on this machine.
$B/helper/hub-server $B/helper/chat-server: LIBS += -lmicrohttpd

# It makes files that the layer would not, with the library itself; -fPIC: or the
# library's variables would be copied into the program, where the layer does not look.
$B/tests/test_h5: LIBS += $(HDF5)
$B/tests/unit/test_h5.o: DEFS = -fPIC

# The engine goes through wrappers that break it.
$B/tests/test_check: LDFLAGS += $(addprefix -Wl$(comma)--wrap=,dk_runner_forward dk_runner_logits \
    dk_model_load_merged dk_layer_at dk_check_gold_of)
# The device under test is loaded at run time.
$B/tests/test_cuda_ops $B/tests/test_cuda_choose: | $(CUDA_EMU)
# Here a wrapper looks at what is asked of a pass.
$B/tests/test_activations: LDFLAGS += -Wl,--wrap=dk_runner_forward

-include $(shell find $B -name '*.d' 2>/dev/null)

# --- pipelines: `make cake_bake`, `make cake_bake/kl`, `make plan`, `make list` ---
include pipelines/front.mk

# The two commands for a fresh machine see to what is missing first.
.PHONY: demo deps check test
demo:
	@.ci/deps build
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory cake_bake SHOW=
	@$B/bin/dk-report $(OUT)/$$($B/bin/dk-conf --configs $(CONFIGS) get model.name model=$(MODEL))/cake_bake

# The pictures of the README, from the same results.
PICTURES := text.general-a tokens_null.general-a.top_k_occurring
.PHONY: pictures
pictures: demo
	@rm -rf $B/pictures
	@$B/bin/dk-report --plots $B/pictures $(OUT)/$$($B/bin/dk-conf --configs $(CONFIGS) get model.name model=$(MODEL))/cake_bake > /dev/null
	@install -D -m 644 -t data/pictures $(PICTURES:%=$B/pictures/%.svg)

deps:
	@.ci/deps check

check test:
	@.ci/deps check
	@$(MAKE) --no-print-directory all helpers libdk_cuda_emu
	@B=$B tests/run.sh $(CHECK_PARTS)

# --- the parts of check ----------------------------------------------------------
# layers, headers, banned and man are made here; the rest are tests that
# tests/run.sh runs and counts.
CHECK_PARTS := layers headers banned shell man unit cli pipeline golden san
RUN_PARTS   := unit cli pipeline golden san slow
HEADERS     := $(wildcard lib/*/*.h lib/*/*/*.h)
SOURCES     := $(wildcard lib/*/*.[ch] lib/*/*/*.[ch] tools/*.c)

.PHONY: check-layers check-headers check-banned check-shell check-man check-fresh bench \
        $(RUN_PARTS:%=check-%) unit-tests slow-tests
check-layers:
	@awk -f tests/layers.awk $(SOURCES)

check-headers:
	@mkdir -p $B/headers
	@for h in $(HEADERS); do \
	    echo "#include \"$${h#lib/}\"" | $(CC) $(ALL_CFLAGS) -fsyntax-only -x c - || \
	    { echo "$$h does not compile alone"; exit 1; }; done

# An HDF5 filter must hand over memory that HDF5 can free() itself.
check-banned:
	@! grep -nE '\<(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atof|tmpnam)[[:space:]]*\(' $(SOURCES)
	@! grep -nE '\<(malloc|calloc|realloc|strdup|strndup|asprintf)[[:space:]]*\(' \
	    $(filter-out lib/base/% lib/io/zstdfilter.c,$(SOURCES))

check-shell:
	@for f in .ci/deps .ci/run $(wildcard tests/*.sh tests/*/*.sh pipelines/*.sh); do bash -n $$f || exit 1; done

# Every tool has its page, and every page is clean.
check-man: man
	@for t in $(notdir $(TOOLS)); do [ -f man/$$t.1.in ] || { echo "man/$$t.1.in is missing"; exit 1; }; done
	@mandoc -T lint -W warning $(MAN) man/dk-formats.5


unit-tests: $(UNIT) $B/tests/test_cuda_kernels
slow-tests: $B/tests/slow_forward

$(RUN_PARTS:%=check-%): check-%: all helpers $(CUDA_EMU)
	@B=$B tests/run.sh $*

check-fresh:
	@tests/check-fresh.sh

$B/bench/%: $B/tests/bench/%.o $B/libdk.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

bench: all $(patsubst tests/bench/%.c,$B/bench/%,$(wildcard tests/bench/*.c))
	@for b in $(or $(wildcard tests/bench/*.sh),$(error there is nothing in tests/bench)); do \
	    B=$B bash $$b; done

# --- manual pages, completions, installation ------------------------------------
MAN  := $(patsubst man/%.in,$B/man/%,$(wildcard man/*.in)) $(addprefix $B/,$(wildcard man/*.[1-9]))
COMP := $(TOOLS:$B/bin/%=$B/completions/%)

.PHONY: man install uninstall help clean
man: $(MAN)

# OPTIONS comes from the option table itself.
$B/man/%.1: man/%.1.in $B/bin/%
	@mkdir -p $(@D)
	@$B/bin/$* --help=man > $@.options
	@sed -e 's/@VERSION@/$(VERSION)/' -e '/^@OPTIONS@$$/{' -e 'r $@.options' -e 'd' -e '}' $< > $@
	@rm -f $@.options

$B/man/%: man/%.in lib/cli/tool.h
	@mkdir -p $(@D)
	@sed -e 's/@VERSION@/$(VERSION)/' $< > $@

$B/man/%: man/%
	@mkdir -p $(@D)
	@cp $< $@

$B/completions/%: $B/bin/%
	@mkdir -p $(@D)
	@$B/bin/$* --help=bash > $@

VERSION = $(shell sed -n 's/^.define DK_VERSION "\(.*\)"/\1/p' lib/cli/tool.h)
DIR     = $(DESTDIR)$(prefix)
SHARED  = $(filter-out configs/tools/% data/pictures/%,$(shell git ls-files pipelines configs data 2>/dev/null || find pipelines configs data -type f))

install: all man $(COMP)
	install -d $(DIR)/bin $(DIR)/share/bash-completion/completions
	install -m 755 $(TOOLS) $(DIR)/bin
	install -D -m 644 $(PLUGIN) $(DIR)/lib/dk/hdf5/$(notdir $(PLUGIN))
	$(if $(CUDA),install -m 644 $(CUDA_SO) $(DIR)/lib)
	install -m 644 $(COMP) $(DIR)/share/bash-completion/completions
	for m in $(MAN); do install -D -m 644 $$m $(DIR)/share/man/man$${m##*.}/$${m##*/}; done
	for f in $(SHARED); do install -D -m 644 $$f $(DIR)/share/dk/$$f; done

uninstall:
	rm -f $(TOOLS:$B/bin/%=$(DIR)/bin/%) $(COMP:$B/completions/%=$(DIR)/share/bash-completion/completions/%)
	for m in $(MAN); do rm -f $(DIR)/share/man/man$${m##*.}/$${m##*/}; done
	rm -f $(DIR)/lib/$(notdir $(CUDA_SO))
	rm -rf $(DIR)/share/dk $(DIR)/lib/dk

help:
	@echo 'make                     build the tools in $B/bin'
	@echo 'make demo                install what is missing, build, fetch the model, compare, report'
	@echo 'make check (or test)     everything that is tested; check-unit, check-cli, ... are its parts'
	@echo 'make check-slow          tests that take longer; check-fresh: both commands on bare systems'
	@echo 'make ORGANISM            every method and the summary; cake_bake is the default'
	@echo 'make ORGANISM/METHOD     kl, diff_mining, activation_difference_lens, activation_analysis, pca, contrast, ...'
	@echo 'make ... MODEL= VARIANT= OUT= THREADS= NULL= NULLS=19 kl.max_samples=1000    other values'
	@echo 'make diff BASE= FT=      any pair, by paths or hub ids; NULL= TEXT= OUT= METHODS= SAMPLES= TOKENS= ...'
	@echo 'make list                organisms, models, methods, data sets'
	@echo 'make plan [ORGANISM=]    what would run, and why'
	@echo 'make pictures            the pictures of the README, from what the demo found'
	@echo 'make bench               measure speed and agreement'
	@echo 'make check-gpu bench-gpu the CUDA backend on a card; CUDA= builds without it'
	@echo 'make cuda-toolkit        fetch a CUDA compiler into build/cuda-toolkit'
	@echo 'make deps                install the Debian packages'
	@echo 'make install uninstall   prefix=/usr/local DESTDIR='
	@echo 'make clean               remove what was built (results stay)'

clean:
	rm -rf build build-san
