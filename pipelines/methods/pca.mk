# pca: tokens of each data set -> activations at the layers asked for -> principal
# components of the rows of all sets together -> the tokens that the first of
# them speak for, at both ends -> how far each token of each set lies along them,
# the nulls' beside it -> the texts that lie farthest; and answers of base and
# finetune with a component added.  It runs when it is named.
METHODS += pca
ON_CALL += pca

pca        = $(C.pca.$1)
pca_length = --max-tokens $(call pca,max_tokens_per_sample)
pca_lanes  = base$(comma)ft$(if $(filter base,$(pca_what)),,$(addprefix $(comma),$(C.nulls)))
pca_tokens = $(call tokens_file,$1,$(call pca,max_samples),$(pca_length))
pca_file   = $R/pca/$1
pca_what.difference_ftb = diff
pca_what.difference_bft = diff
pca_what.base           = base
pca_what.ft             = ft
pca_what   = $(pca_what.$(call pca,training.target))
pca_how    = -k $(or $(filter-out null,$(call pca,training.n_components)),0) --what $(pca_what)$(if $(filter %_bft,$(call pca,training.target)), --negate) --skip-first $(call pca,datasets.ignore_first_n_tokens_per_sample_during_training) --max-rows $(call pca,training.num_samples)$(if $(filter true,$(call pca,training.uncentred)), --uncentred)$(if $(filter true,$(call pca,training.incremental)), --incremental --batch-size $(call pca,training.batch_size))$(if $(filter diff,$(pca_what)), --halves --seed $(C.seed))
# $(call pca_set,ORGANISM,SET)
pca_set    = $(call tokens_rule,$2,$(call pca,max_samples),$(pca_length))$(call stage,pca extract $1 $2,$(call pca_file,$2.act.h5),dk-extract $(PAIR) --lanes $(subst $(space),,$(pca_lanes)) --what $(pca_what) --layers $(call pca,depths),$(call pca_tokens,$2),$(PARTS),$R/check.jsonl)
# The first components, and the texts at either end of each.
pca_max    = $(call pca,analysis.max_activating_examples.$1)
pca_shown  = $(if $(filter true,$(call pca,analysis.enabled)),$(filter true,$(call pca_max,enabled)))
pca_texts  = $(call stage,pca encode $1 $2,$(call pca_file,$2.score.h5) $(call pca_file,$2.proj.jsonl),dk-encode -d $(call pca_file,components.dir.h5) --skip-first $(call pca,datasets.ignore_first_n_tokens_per_sample_during_training) --first $(pca_first) --max-samples $(call pca_max,max_num_samples) --table $(call pca_file,$2.proj.jsonl),$(call pca_file,$2.act.h5),$(call pca_file,components.dir.h5))
pca_list   = $(call stage,pca examples $1 $2,$(call pca_file,$2.examples.jsonl),dk-examples -m $(C.model.path) --score 'proj/*/ft' --by extreme --side both -k $(call pca_max,n_max_activations),$(call pca_file,$2.score.h5))

# Answers with a component added, strengths in parts of its largest projection.
pca_with   = $(call pca,analysis.component_steering.$1)
pca_steers = $(if $(filter true,$(call pca,analysis.enabled)),$(filter true,$(call pca_with,enabled)))
# $(call pca_grid,KEY,ITS NAME IN THE SHORT PROFILE)
pca_grid   = $(call pca_with,$(if $(filter short,$(call pca_with,profile)),short.$2,$1))
pca_commas = $(subst $(space),,$(subst ],,$(subst [,,$(call pca_grid,$1,$2))))
pca_first  = $(shell printf '%s\n' $(if $(pca_shown),$(call pca_max,n_components)) $(if $(pca_steers),$(call pca_grid,k,components)) | sort -n | tail -n 1)
pca_drawn  = $(if $(filter true,$(call pca_with,do_sample)),$(call pca_with,temperature),0)
pca_quiet  = $(if $(filter true,$(C.model.has_enable_thinking)),$(if $(filter true,$(call pca_with,enable_thinking)),,--no-thinking))
pca_scales = $(subst $(space),$(comma),$(foreach s,$(call pca,sets),$(call pca_file,$s.proj.jsonl)))
pca_out    = $(call pca_file,steering.$(call pca_with,profile).jsonl)
pca_steer  = $(call stage,pca steer $1,$(pca_out),dk-generate -m $(C.model.path) -f $(C.finetune) --lanes base$(comma)ft $(if $(filter true,$(call pca_with,use_chat_formatting)),$(TEMPLATE) $(pca_quiet),--format text) --dtype $(C.dtype) --seed $(C.seed) --prompts $(C.pca.prompts) --lines --max-prompts $(or $(call pca_grid,,prompts),0) --max-new-tokens $(call pca_grid,max_new_tokens,tokens) --temperature $(pca_drawn) --steer $(call pca_file,components.dir.h5) --steer-first $(call pca_grid,k,components) --strengths=$(call pca_commas,steering_factors_percentages,factors) --steer-at $(call pca_commas,steering_modes,modes) --scales $(pca_scales),,$(C.pca.prompts) $(call pca_file,components.dir.h5) $(foreach s,$(call pca,sets),$(call pca_file,$s.score.h5)) $(PARTS) $(CHAT),$R/check.jsonl)

# Of differences those of each null too: what any finetune does.
pca_nulls  = $(if $(filter diff,$(pca_what)),$(C.nulls))
pca_null   = $(call stage,pca $1 $2,$(call pca_file,components.$2.dir.h5) $(call pca_file,components.$2.jsonl),dk-pca $(subst --what diff,--what diff.$2,$(pca_how)) --table $(call pca_file,components.$2.jsonl),$(foreach s,$(call pca,sets),$(call pca_file,$s.act.h5)))$(call stage,pca lens $1 $2,$(call pca_file,components.$2.lens.jsonl),dk-lens -m $(C.model.path) --dtype $(C.dtype) --first $(call pca,logit_lens.components) -k 20,$(call pca_file,components.$2.dir.h5),$(call files,$(C.model.path)))
# $(call pca_found,ENDING): of finetune and nulls what dk-calibrate reads, .jsonl or .lens.jsonl; of
# an earlier run what is there.
pca_each   = $(if $(filter diff,$(pca_what)),$(call pca_file,components$1) $(foreach n,$(pca_nulls),$(call pca_file,components.$n$1)))
pca_found  = $(if $(filter pca,$(CALLED)),$(pca_each),$(wildcard $(pca_each)))

define pca_stages
$(if $(call pca,sets),,$(error pca: no kind of data set is in use))
$(eval GOAL.pca := $(call pca_file,components.lens.jsonl) $(foreach n,$(pca_nulls),$(call pca_file,components.$n.lens.jsonl)) $(if $(pca_shown),$(foreach s,$(call pca,sets),$(call pca_file,$s.examples.jsonl))) $(if $(pca_steers),$(pca_out)))
$(foreach s,$(call pca,sets),$(call pca_set,$1,$s))
$(call stage,pca $1,$(call pca_file,components.dir.h5) $(call pca_file,components.jsonl),dk-pca $(pca_how) --table $(call pca_file,components.jsonl),$(foreach s,$(call pca,sets),$(call pca_file,$s.act.h5)))
$(call stage,pca lens $1,$(call pca_file,components.lens.jsonl),dk-lens -m $(C.model.path) --dtype $(C.dtype) --first $(call pca,logit_lens.components) -k $(call pca,logit_lens.k),$(call pca_file,components.dir.h5),$(call files,$(C.model.path)))
$(foreach n,$(pca_nulls),$(call pca_null,$1,$n))
$(if $(pca_shown)$(pca_steers),$(foreach s,$(call pca,sets),$(call pca_texts,$1,$s)))
$(if $(pca_shown),$(foreach s,$(call pca,sets),$(call pca_list,$1,$s)))
$(if $(pca_steers),$(call pca_steer,$1))
endef
