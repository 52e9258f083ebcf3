# activation_analysis: tokens of each data set -> activations at the layers asked
# for -> lengths and distances token by token, their statistics and the mean
# differences -> the tokens that these speak for, and the texts where the values
# are largest; the nulls beside the finetune.
# It runs when it is named, and is no part of the summary.
METHODS += activation_analysis
ON_CALL += activation_analysis

aa        = $(C.activation_analysis.$1)
aa_length = --max-tokens $(call aa,method_params.max_tokens_per_sample)
aa_lanes  = base,ft$(addprefix $(comma),$(C.nulls))
aa_texts  = $(or $(filter-out null,$(call aa,method_params.max_samples)),0)
aa_tokens = $(call tokens_file,$1,$(aa_texts),$(aa_length))
aa_file   = $R/activation_analysis/$1
aa_skip   = $(if $(filter true,$(call aa,method_params.skip_first_n_tokens)),$(or $(C.model.ignore_first_n_tokens_per_sample_during_training),0),0)
# Where chats are read, the tokens of their template get means, in texts too.
aa_chat   = $(if $(filter chat,$(foreach s,$(call aa,sets),$(C.set.$s.format))),-m $(C.model.path) $(TEMPLATE))
aa_scores = --score 'norm_diff/*/ft$(comma)cos_dist/*/ft$(comma)norm/*/base$(comma)norm/*/ft'
aa_lists  = $(aa_scores) -k $(call aa,analysis.max_activating_examples.num_examples)$(if $(filter false,$(call aa,analysis.max_activating_examples.include_full_messages)), --no-text)$(if $(filter false,$(call aa,analysis.max_activating_examples.include_all_token_norms)), --no-values)
# The means come with the scores, which stand for them.
aa_lens   = $(call stage,norms lens $1 $2,$(call aa_file,$2.lens.jsonl),dk-lens -m $(C.model.path) --dtype $(C.dtype) -k $(call aa,logit_lens.k) $(call aa_file,$2.dir.h5),,$(call files,$(C.model.path)) $(call aa_file,$2.score.h5))
# Texts of each part beside those of the whole.
aa_shares = $(subst $(space),,$(subst ],,$(subst [,,$(call aa,analysis.max_activating_examples.quantiles))))
aa_parts  = $(if $(aa_shares),$(call stage,norms quantiles $1 $2,$(call aa_file,$2.quantiles.examples.jsonl),dk-examples -m $(C.model.path) $(aa_lists) --quantiles $(aa_shares),$(call aa_file,$2.score.h5)))
# $(call aa_set,ORGANISM,SET)
aa_set    = $(call tokens_rule,$2,$(aa_texts),$(aa_length))$(call stage,analysis extract $1 $2,$(call aa_file,$2.act.h5),dk-extract $(PAIR) --lanes $(subst $(space),,$(aa_lanes)) --layers $(call aa,depths),$(call aa_tokens,$2),$(PARTS),$R/check.jsonl)$(call stage,norms $1 $2,$(call aa_file,$2.score.h5) $(call aa_file,$2.jsonl) $(call aa_file,$2.dir.h5),dk-norms --skip-first $(aa_skip) $(aa_chat) --table $(call aa_file,$2.jsonl) --means $(call aa_file,$2.dir.h5),$(call aa_file,$2.act.h5))$(call stage,norms examples $1 $2,$(call aa_file,$2.examples.jsonl),dk-examples -m $(C.model.path) $(aa_lists),$(call aa_file,$2.score.h5))$(call aa_lens,$1,$2)$(call aa_parts,$1,$2)

define activation_analysis_stages
$(if $(call aa,sets),,$(error activation_analysis: no kind of data set is in use))
$(eval GOAL.activation_analysis := $(foreach s,$(call aa,sets),$(call aa_file,$s.examples.jsonl) $(call aa_file,$s.lens.jsonl) $(if $(aa_shares),$(call aa_file,$s.quantiles.examples.jsonl))))
$(foreach s,$(call aa,sets),$(call aa_set,$1,$s))
endef
