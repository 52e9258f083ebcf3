# pipelines/front.mk: the front door to the graphs.  The Makefile includes it; an
# installed copy works alone: make -f PREFIX/share/dk/pipelines/front.mk cake_bake
SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS   += -rR
# No bare .SECONDARY here: with it, make takes a missing result for an unneeded
# intermediate file and does not rebuild it.
.DELETE_ON_ERROR:

FRONT   := $(firstword $(MAKEFILE_LIST))
HERE    := $(dir $(lastword $(MAKEFILE_LIST)))
OUT     ?= results
DK      ?= $(if $B,$B/bin,$(abspath $(HERE)../../../bin))
CONFIGS ?= $(if $(filter pipelines/,$(HERE)),configs,$(abspath $(HERE)../configs))
MODEL   ?= auto
VARIANT ?= default
THREADS ?=
SHOW    ?= yes
ORGANISM ?= cake_bake
DK_ALONE ?=
# A finetune that taught nothing, to run beside the one; how many nulls to make of that one.
NULL    ?=
NULLS   ?=
# The options of make that are one letter: "n" in `make -n`.
short_flags = $(filter-out --%,$(firstword -$(MAKEFLAGS)))

# SHOW= keeps the summary off the terminal.

# Organisms named by the goals: `cake_bake`, `cake_bake/kl`, a file below $(OUT).
ORGANISM_NAMES := $(basename $(notdir $(wildcard $(CONFIGS)/organism/*.yaml)))
ORGANISMS := $(filter $(ORGANISM_NAMES),$(sort $(subst /, ,$(MAKECMDGOALS))))

.PHONY: plan list
# What would run, and why; make's own account in fewer words.
plan:
	@$(MAKE) -f $(FRONT) -n --trace --no-print-directory $(ORGANISM) | awk -f $(HERE)plan.awk

list: $(if $B,$B/bin/dk-conf)
	@$(DK)/dk-conf --configs $(CONFIGS) list

# What a model is called: the last part of its path or id, without what only says
# how it is stored; its folder's where it is called "adapter".
bare     = $(patsubst %.gguf,%,$(notdir $(patsubst %/adapter,%,$(abspath $(if $(wildcard $1),$1,$(firstword $(subst @, ,$1)))))))

# `diff` compares any pair, by paths.
DIFF := $(filter diff,$(MAKECMDGOALS))
ifneq ($(DIFF),)
include $(HERE)pair.mk
endif

# Two runs in one folder would take each other's results for their own.  So the
# work is done by a second make, below a process that holds a lock; a question
# (-n, -q) needs none.
ASKING  := $(or $(findstring n,$(short_flags)),$(findstring q,$(short_flags)))
ifneq ($(ORGANISMS)$(DIFF),)
ifeq ($(DK_ALONE)$(ASKING),)
WORK    := $(foreach g,$(MAKECMDGOALS),$(if $(filter diff $(ORGANISMS),$g $(subst /, ,$g)),$g))
.PHONY: $(WORK) alone
$(WORK): alone ; @:
alone: | $(filter-out $(WORK),$(MAKECMDGOALS))
	+@DK_ALONE=yes exec bash $(HERE)alone.sh $(if $(DIFF),$D,$(OUT)) '$(if $(DIFF),$(TEXT))' \
	  $(MAKE) -f $(FRONT) --no-print-directory $(WORK)
else
include $(HERE)dk.mk
ifneq ($(DIFF),)
include $(HERE)diff.mk
endif
endif
endif
