# pipelines/diff.mk: any pair, without configuration files:
#   make diff BASE=PATH FT=PATH [NULL=PATH] [TEXT=FILE] [OUT=DIR] [METHODS="kl diff_mining"]
#             [SAMPLES=64] [TOKENS=64] [TOP=100] [DTYPE=auto] [FORMAT=auto] [COLUMN=text] [PROMPTS=FILE]
# BASE is a GGUF file, a checkpoint folder or a name that dk-fetch knows; FT and NULL
# are adapters (PEFT folders) or checkpoints with full weights.
SAMPLES ?= 64
TOKENS  ?= 64
TOP     ?= 100
DTYPE   ?= auto
FORMAT  ?= auto
COLUMN  ?= text
NULL    ?=
PROMPTS ?=
TEXT    ?= $(HERE)../data/text/general-a.jsonl
DIFF_METHODS := $(if $(filter command,$(firstword $(origin METHODS))),$(METHODS),kl diff_mining)

$(foreach v,BASE FT,$(if $($v),,$(error name the pair: make diff BASE=PATH FT=PATH ($v is missing))))
$(foreach m,$(filter-out kl diff_mining,$(DIFF_METHODS)),$(error there is no method $m for diff: kl, diff_mining))
# A path, or what dk-fetch makes of a name.
resolve  = $(or $(wildcard $1),$(call ask,$(DK)/dk-fetch --configs $(CONFIGS) $(call quote,$1)))
# The folder's name; its parent's where it is called "adapter".
bare     = $(basename $(notdir $(patsubst %/adapter,%,$(abspath $1))))

diff.base := $(call resolve,$(BASE))
diff.ft   := $(call resolve,$(FT))
diff.null := $(if $(NULL),$(call resolve,$(NULL)))
diff.name := $(call bare,$(diff.ft))
D := $(if $(filter command,$(firstword $(origin OUT))),$(OUT),$(OUT)/diff/$(call bare,$(diff.base))/$(diff.name))

diff.lanes := -f $(diff.ft) $(if $(diff.null),-n $(call bare,$(diff.null))=$(diff.null))
# What dk-check looks into: adapters; full weights are opened by the tools themselves.
diff.adapter = $(if $(wildcard $1/adapter_config.json),$2 $1)
diff.check := $(call diff.adapter,$(diff.ft),-f) $(if $(diff.null),$(call diff.adapter,$(diff.null),-n $(call bare,$(diff.null))=))
diff.pair  := -m $(diff.base) $(diff.lanes) --dtype $(DTYPE)
diff.parts := $(foreach p,$(diff.base) $(diff.ft) $(diff.null),$(call files,$p))
diff.set   := $(firstword $(subst ., ,$(notdir $(TEXT))))
diff.json  := {"organism.name":"$(diff.name)","model.name":"$(call bare,$(diff.base))","dtype":"$(DTYPE)","model.path":"$(abspath $(diff.base))"}
diff.goals := $(if $(filter kl,$(DIFF_METHODS)),$D/kl/$(diff.set).score.h5) \
              $(if $(filter diff_mining,$(DIFF_METHODS)),$D/diff_mining/$(diff.set).top_k_occurring.jsonl)

$(call printed,pair $(diff.name),$D/pair.json,$(diff.json),printf '%s\n' $(call quote,$(diff.json)),)
$(call stage,check $(diff.name),$D/check.jsonl,dk-check -m $(diff.base) $(subst = ,=,$(diff.check)) --dtype $(DTYPE),,$(diff.parts))
$(call stage,tokens $(diff.set),$D/tokens/$(diff.set).tok.h5,dk-tokenize -m $(diff.base) --format $(FORMAT) --column $(COLUMN) --max-samples $(SAMPLES) --max-tokens $(TOKENS),$(TEXT),$(call files,$(diff.base)))
$(call stage,kl $(diff.set),$D/kl/$(diff.set).score.h5 $D/kl/$(diff.set).jsonl,dk-kl $(diff.pair) --top-tokens 5 --max-samples 0 --max-tokens 0 --table $D/kl/$(diff.set).jsonl,$D/tokens/$(diff.set).tok.h5,$(diff.parts),$D/check.jsonl)
$(call stage,topk $(diff.set),$D/diff_mining/$(diff.set).topk.score.h5,dk-topk $(diff.pair) --max-samples 0 --max-tokens 0 -k $(TOP),$D/tokens/$(diff.set).tok.h5,$(diff.parts),$D/check.jsonl)
$(call stage,mine $(diff.set),$D/diff_mining/$(diff.set).top_k_occurring.jsonl,dk-mine -m $(diff.base),$D/diff_mining/$(diff.set).topk.score.h5)
$(if $(PROMPTS),$(call stage,answers $(diff.name),$D/answers.jsonl,dk-generate -m $(diff.base) -f $(diff.ft) --dtype $(DTYPE) --prompts $(PROMPTS),,$(PROMPTS) $(diff.parts),$D/check.jsonl))
$(call printed,summary $(diff.name),$D/summary.txt $D/summary.json $D/index.html,$(call ask,$(DK)/dk-report --stamp),$(DK)/dk-report $D,$D/pair.json $D/check.jsonl $(diff.goals) $(if $(PROMPTS),$D/answers.jsonl),$(if $(SHOW),@cat $D/summary.txt))

.PHONY: diff
diff: $D/summary.txt
