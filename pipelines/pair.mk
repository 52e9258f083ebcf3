# pipelines/pair.mk: the words of `make diff`, and the folder of its results.
#   make diff BASE=MODEL FT=MODEL [NULL=MODEL] [TEXT=FILE] [OUT=DIR] [METHODS="kl ..."]
#             [SAMPLES=64] [TOKENS=64] [TOP=100] [POSITIONS=5] [LAYERS=0.5,1.0]
#             [DTYPE=auto] [ARITH=auto] [FORMAT=auto] [COLUMN=] [PROMPTS=FILE]
# A MODEL is a GGUF file, a checkpoint folder, OWNER/NAME[@REVISION] of a hub or a
# name of the catalogue; FT and NULL may be adapters, and folders of a repository.
# TEXT is a file, or - for standard input.
SAMPLES ?= 64
TOKENS  ?= 64
TOP     ?= 100
POSITIONS ?= 5
LAYERS  ?= 0.5,1.0
DTYPE   ?= auto
ARITH   ?= auto
FORMAT  ?= auto
COLUMN  ?=
NULL    ?=
PROMPTS ?=
TEXT    ?= $(HERE)../data/text/general-a.jsonl
by_hand = $(filter command,$(firstword $(origin $1)))
diff.known   := kl diff_mining activation_difference_lens
diff.methods := $(if $(call by_hand,METHODS),$(METHODS),$(diff.known))

$(foreach v,BASE FT,$(if $($v),,$(error name the pair: make diff BASE=MODEL FT=MODEL ($v is missing))))
$(foreach m,$(filter-out $(diff.known),$(diff.methods)),$(error there is no method $m for diff: $(diff.known)))

# What a model is called: the last part of its path or id, without what only says
# how it is stored; its folder's where it is called "adapter".
bare     = $(patsubst %.gguf,%,$(notdir $(patsubst %/adapter,%,$(abspath $(if $(wildcard $1),$1,$(firstword $(subst @, ,$1)))))))
D := $(if $(call by_hand,OUT),$(OUT),$(OUT)/diff/$(call bare,$(BASE))/$(call bare,$(FT)))
