# pipelines/dk.mk: what every graph shares.  A graph is tools composed by
# files; a stage is stale when an input is newer than its result, or when the
# parameters its tool would use now differ from those noted beside the result
# (FILE.args, written by dk-run).  Both are decided while make reads this, so
# `make -n` is the plan.

# --- the tools come first: they answer what the stages depend on -------------
STAGE_TOOLS := dk-conf dk-fetch dk-run dk-check dk-tokenize dk-kl dk-topk dk-mine dk-extract \
               dk-mean dk-norms dk-encode dk-examples dk-pca dk-lens dk-null dk-calibrate dk-generate dk-phrases dk-grade dk-report
ifdef B
ifeq ($(DK),$B/bin)
include $B/tools.mk
$B/tools.mk: $(addprefix $B/bin/,$(STAGE_TOOLS))
	@touch $@
endif
endif
LACKING := $(filter-out $(notdir $(wildcard $(DK)/dk-*)),$(STAGE_TOOLS))
ifneq ($(LACKING),)
ifneq ($(DK),$B/bin)
$(error $(DK) lacks $(LACKING))
endif
endif

# --- small words --------------------------------------------------------------
comma := ,
space := $(subst ,, )
define nl


endef
quote   = '$(subst ','\'',$1)'
# $(call same,A,B): non-empty if the two texts are equal.
same    = $(and $(findstring x$(strip $1)x,x$(strip $2)x),$(findstring x$(strip $2)x,x$(strip $1)x))
# $(call ask,COMMAND): its output on one line, or the end of everything.
ask     = $(shell $1)$(answered)
answered = $(if $(filter-out 0,$(.SHELLSTATUS)),$(error stopped by the message above))
# $(call files,PATH): the file, or what a checkpoint folder holds.
files   = $(if $(wildcard $1/config.json $1/adapter_config.json),$(wildcard $1/*.json $1/*.safetensors),$1)

# KEY=VALUE words of the command line that belong to the configuration: those
# with a dot, and the global keys.
given   := $(strip $(foreach v,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $v))),$(if $(or $(findstring .,$v),$(filter seed dtype arith,$v)),$v))))
words   = $(foreach v,$(given),$(call quote,$v=$($v)))
conf    = $(DK)/dk-conf $1 --configs $(CONFIGS) organism=$2 model=$(MODEL) organism_variant=$(VARIANT) $(words)

# --- one stage ----------------------------------------------------------------
# $(call stage,NAME,OUTPUTS,TOOL OPTIONS,INPUTS,MORE PREREQUISITES,ORDER-ONLY)
# runs TOOL OPTIONS -o FIRST-OUTPUT INPUTS.  Only the first output is a target,
# and a missing sibling makes it stale: with grouped targets (&:) `make -n`
# leaves out what follows from them (4.3).  The names of the inputs belong to
# the parameters: going back to an input that is older than the result must
# rerun too.  A stage that two graphs share (tokens) is defined once.
define stage_rule
args.$(firstword $2) := $$(shell $(DK)/$(firstword $3) --stamp $(wordlist 2,999,$3))$$(answered) $4
$(firstword $2): $4 $5 $(if $(wildcard $(firstword $2)),$(if $(filter-out $(wildcard $2),$2),outputs)) $$(call stale,$(firstword $2)) | $6
	@echo "  RUN   $1" >&2
	@$(DK)/dk-run --stage $(call quote,$1) $(if $(filter dk-extract dk-topk,$(firstword $3)),--spread )--record $$(call quote,$$(args.$(firstword $2))) \
	  $(firstword $2) $(DK)/$3 $(if $(THREADS),-t $(THREADS)) -o $(firstword $2) $4
endef
stage   = $(if $(args.$(firstword $2)),,$(eval $(call stage_rule,$1,$2,$3,$4,$5,$6)))
# Non-empty if FILE was made with other parameters than those wanted now.
stale   = $(if $(wildcard $1),$(if $(call same,$(file <$1.args),$(args.$1)),,parameters))

# As stage, for a command that prints its first output.
# $(call printed,NAME,OUTPUTS,RECORD,COMMAND,INPUTS,LAST-LINE-OF-THE-RECIPE)
define printed_rule
args.$(firstword $2) := $3
$(firstword $2): $5 $(if $(wildcard $(firstword $2)),$(if $(filter-out $(wildcard $2),$2),outputs)) $$(call stale,$(firstword $2))
	@echo "  RUN   $1" >&2
	@$(DK)/dk-run --stage $(call quote,$1) --stdout $(firstword $2) --record $$(call quote,$$(args.$(firstword $2))) \
	  $(firstword $2) $4
	$6
endef
printed = $(eval $(call printed_rule,$1,$2,$3,$4,$5,$6))

# Printed at the end; a reader that has seen enough (| head) is no failure.
show = $(if $(SHOW),@cat $1 || [ $$? = 141 ],@:)

# Never files: what depends on them is made anew.
.PHONY: parameters outputs

# --- the model ------------------------------------------------------------------
define model_rule
args.$1 := fetched
$1:
	@echo "  FETCH $2" >&2
	@$(DK)/dk-fetch --configs $(CONFIGS) $2 > /dev/null
endef
model_file = $(if $2,$(if $(args.$1),,$(eval $(call model_rule,$1,$2))))

# $(call from_hub,ID): where a model lies that the hub's cache lacked a moment ago.
# Its path has the commit in it, so it is fetched before anything is planned; a
# question fetches nothing.
from_hub = $(call ask,$(DK)/dk-fetch $(if $(ASKING),--offline) $(call quote,$1))
# $(call data_from_hub,WORDS): the same of a data set, all its files.
data_from_hub = $(call ask,$(DK)/dk-fetch $(if $(ASKING),--offline) $1)

# --- nulls ---------------------------------------------------------------------
# NULLS=N: so many nulls are made of the finetune (rigid_01, ...) and run beside it.
$(if $(NULLS),$(if $(shell printf %s $(call quote,$(NULLS)) | grep '[^0-9]'),$(error NULLS=$(NULLS): a number of nulls is wanted)))
RIGID := $(if $(filter-out 0,$(NULLS)),$(addprefix rigid_,$(call ask,LC_ALL=C seq -f %02g 1 $(call quote,$(NULLS)))))
# $(call rigid_file,FOLDER,NULL,FINETUNE): what is made of an adapter is one, of full weights such.
rigid_file = $1/nulls/$2/$(if $(wildcard $3/adapter_config.json),adapter_model,$(if $(wildcard $3/config.json),model,adapter_model)).safetensors
# $(call rigid,NAME,FOLDER,BASE,FINETUNE,OPTIONS,TOKENS,PREREQUISITES): matched to the effect on TOKENS.
rigid = $(foreach n,$(RIGID),$(call stage,null $1 $n,$(call rigid_file,$2,$n,$4),dk-null -m $3 -f $4 -i $(patsubst 0%,%,$(n:rigid_%=%)) --match effect $5,$6,$7))

# --- one organism ----------------------------------------------------------------
# Sets the variables C.* to its resolved configuration and defines its stages.
# R is its folder; PAIR are the options that every tool takes that compares a pair.
define organism_vars
$(subst |~,$(nl),$(call ask,$(call conf,make,$1) -p C | sed 's/$$/|~/'))
$$(foreach v,$$(C.hubs),$$(eval C.$$v := $$(call from_hub,$$(C.$$v))))
$$(foreach v,$$(C.hubsets),$$(eval C.set.$$v.path := $$(call data_from_hub,$$(C.set.$$v.fetch))))
R      := $(OUT)/$$(C.model)/$1$(if $(filter-out default,$(VARIANT)),.$(VARIANT))
T      := $(OUT)/$$(C.model)/tokens
$(if $(NULL),$$(eval C.nulls += $(call bare,$(NULL)))$$(eval C.null.$(call bare,$(NULL)) := $(NULL)))
FINETUNES := -f $$(C.finetune) $$(foreach n,$$(C.nulls),-n $$n=$$(C.null.$$n))
TRAINED := $$(call files,$$(C.model.path)) $$(foreach a,$$(C.finetune) $$(foreach n,$$(C.nulls),$$(C.null.$$n)),$$(call files,$$a))
PAIR   := -m $$(C.model.path) $$(FINETUNES) $(foreach n,$(RIGID),-n $n=$$R/nulls/$n) --dtype $$(C.dtype) --arith $$(C.arith) --seed $$(C.seed)
PARTS  := $$(TRAINED) $(foreach n,$(RIGID),$$(call rigid_file,$$R,$n,$$(C.finetune)))
C.nulls := $$(strip $$(C.nulls) $(RIGID))
C.neutral := $$(firstword $$(filter-out $1,$$(C.kl.sets) $$(C.diff_mining.sets)) $$(C.kl.sets))
endef

# Chats by a template of the configuration; where a model can think aloud, only
# answers are asked not to, as in the reference toolkit.
CHAT     = $(filter-out null,$(C.model.chat_template))
TEMPLATE = $(if $(CHAT),--template $(CHAT))

# $(call tokens,SET,MAX,LENGTH-OPTION): the token file of a data set, which is
# named after what shapes it, so that graphs and organisms share it.  Samples of one
# length come from rows in the order of the seed, where the data set says so.
shuffled    = $(and $(filter --fixed%,$3),$(C.set.$1.shuffle))
tokens_file = $T/$1.n$2.$(if $(filter --fixed%,$3),f,t)$(lastword $3)$(if $(call shuffled,$1,$2,$3),.s$(C.seed)).tok.h5
tokens_rule = $(call stage,tokens $1,$(call tokens_file,$1,$2,$3),dk-tokenize -m $(C.model.path) $(TEMPLATE) --format $(C.set.$1.format) --column $(C.set.$1.column) --name $1 $(if $(call shuffled,$1,$2,$3),--shuffle --seed $(C.seed)) --max-samples $2 $3,$(C.set.$1.path),$(call files,$(C.model.path)) $(CHAT))

include $(sort $(wildcard $(HERE)methods/*.mk))
# Those that run only when a goal names them, as in cake_bake/pca.
NAMED    = $(foreach m,$(METHODS),$(if $(findstring /$m,$(MAKECMDGOALS)),$m))
CALLED   = $(filter-out $(ON_CALL),$(METHODS)) $(filter $(ON_CALL),$(NAMED))
# Methods of the catalogue that have no graph: dk-conf says so.
UNBUILT := $(filter-out $(METHODS),$(basename $(notdir $(wildcard $(CONFIGS)/method/*.yaml))))

define organism_goals
.PHONY: $1 $(METHODS:%=$1/%) $1/check $1/answers $1/nulls $1/calibration $1/summary
$1: $R/summary.txt
$1/summary: $R/summary.txt
$1/check: $R/check.jsonl
$1/nulls: $(foreach n,$(RIGID),$(call rigid_file,$R,$n,$(C.finetune)))
$1/calibration: $R/calibration.jsonl
$1/answers: $(if $(C.probes),$R/answers.jsonl)
$(foreach m,$(NAMED),$1/$m: $R/$m/summary.txt$(nl))
$(foreach m,$(UNBUILT),.PHONY: $1/$m$(nl)$1/$m:
	@$(call conf,make,$1) method=$(subst $(space),$(comma),$(strip $(METHODS)))$(comma)$m > /dev/null$(nl))
endef

organism_answers = $(call stage,answers $1,$R/answers.jsonl,dk-generate -m $(C.model.path) -f $(C.finetune) --lanes base$(comma)ft $(TEMPLATE) $(if $(filter true,$(C.model.has_enable_thinking)),--no-thinking) --dtype $(C.dtype) --seed $(C.seed) --prompts $(C.probes) --max-prompts $(C.answers.max_samples) --max-new-tokens $(C.answers.max_new_tokens) --temperature $(C.answers.temperature),,$(C.probes) $(TRAINED) $(CHAT),$R/check.jsonl)
organism_check = $(call stage,check $1,$R/check.jsonl,dk-check -m $(C.model.path) $(FINETUNES) --dtype $(C.dtype) --seed $(C.seed),,$(TRAINED))
null_length = --max-tokens 64
organism_nulls = $(if $(RIGID),$(call tokens_rule,$(C.neutral),32,$(null_length))$(call rigid,$1,$R,$(C.model.path),$(C.finetune),--dtype $(C.dtype) --seed $(C.seed),$(call tokens_file,$(C.neutral),32,$(null_length)),$(TRAINED)))
# What the methods measured beside the nulls; with the finetuning texts the lexicon test.  The
# statistics of means come with a direction file, which stands for them.
cal_lens  = $(if $(filter true,$(C.activation_difference_lens.logit_lens.cache)),$(foreach s,$(C.activation_difference_lens.sets),$R/activation_difference_lens/$s.lens.jsonl))
cal_words = $(if $(and $(C.set.$1.path),$(filter-out $1,$(C.neutral))),-m $(C.model.path) --texts $(C.set.$1.path) --column $(C.set.$1.column) --neutral $(C.set.$(C.neutral).path))
organism_calibration = $(call stage,calibrate $1,$R/calibration.jsonl,dk-calibrate --seed $(C.seed) $(cal_words) $(foreach s,$(C.activation_difference_lens.sets),$R/activation_difference_lens/$s.means.jsonl) $(call pca_found,.jsonl),$(foreach s,$(C.kl.sets),$R/kl/$s.score.h5) $(foreach s,$(C.diff_mining.sets),$R/diff_mining/$s.topk.score.h5) $(cal_lens) $(call pca_found,.lens.jsonl),$(patsubst %.jsonl,%.dir.h5,$(call pca_found,.jsonl)) $(foreach s,$(C.activation_difference_lens.sets),$R/activation_difference_lens/$s.dir.h5) $(if $(cal_words),$(C.set.$1.path) $(C.set.$(C.neutral).path) $(call files,$(C.model.path))))
# What was compared, for people and for the summary.
organism_pair = $(call printed,configuration $1,$R/pair.json,$(call ask,$(call conf,json,$1) | sha256sum),$(call conf,json,$1))
organism_summary = $(call printed,summary $1,$R/summary.txt $R/summary.json $R/index.html,$(call ask,$(DK)/dk-report --stamp),$(DK)/dk-report $R,$R/pair.json $R/check.jsonl $R/calibration.jsonl $(if $(C.probes),$R/answers.jsonl) $(foreach m,$(filter-out $(ON_CALL),$(METHODS)),$(GOAL.$m)) $(foreach m,$(ON_CALL),$(or $(if $(filter $m,$(CALLED)),$(GOAL.$m)),$(wildcard $R/$m/*.jsonl))),$(if $(SHOW),$(subst $$,$$$$,$(call show,$R/summary.txt))))
# What one method left: shown where a goal names it.
# $(call method_summary,ORGANISM,METHOD)
method_summary = $(call printed,summary $1 $2,$R/$2/summary.txt $R/$2/summary.json $R/$2/index.html,$(call ask,$(DK)/dk-report --method $2 --stamp),$(DK)/dk-report --method $2 $R,$R/pair.json $R/check.jsonl $(GOAL.$2),$(if $(SHOW),$(subst $$,$$$$,$(call show,$R/$2/summary.txt))))

define organism
$(eval $(call organism_vars,$1))
$(call model_file,$(C.model.path),$(C.model.fetch))
$(call organism_check,$1)
$(call organism_nulls,$1)
$(foreach m,$(CALLED),$(call $m_stages,$1))
$(call organism_calibration,$1)
$(if $(C.probes),$(call organism_answers,$1))
$(call organism_pair,$1)
$(call organism_summary,$1)
$(foreach m,$(NAMED),$(call method_summary,$1,$m))
$(eval $(call organism_goals,$1))
endef
done := $(if $(LACKING),,$(foreach o,$(ORGANISMS),$(call organism,$o)))
