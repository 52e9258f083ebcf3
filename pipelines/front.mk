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

# `diff` compares any pair, by paths.
DIFF := $(filter diff,$(MAKECMDGOALS))
ifneq ($(ORGANISMS)$(DIFF),)
include $(HERE)dk.mk
endif
ifneq ($(DIFF),)
include $(HERE)diff.mk
endif
