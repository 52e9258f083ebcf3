# kl: tokens of each data set -> KL(finetuned || base) of each token, its statistics,
# and the likeliest next tokens, which the page shows -> the texts where it is
# largest; the nulls run beside the finetune in the same pass.
METHODS += kl

kl_length = --max-tokens $(C.kl.method_params.max_tokens_per_sample)
kl_lanes  = base,ft$(addprefix $(comma),$(C.nulls))
kl_texts  = $(or $(filter-out null,$(C.kl.method_params.max_samples)),0)
kl_tokens = $(call tokens_file,$1,$(kl_texts),$(kl_length))
# $(call kl_set,ORGANISM,SET)
kl_set    = $(call tokens_rule,$2,$(kl_texts),$(kl_length))$(call stage,kl $1 $2,$R/kl/$2.score.h5 $R/kl/$2.jsonl,dk-kl $(PAIR) --lanes $(subst $(space),,$(kl_lanes)) --max-samples $(kl_texts) $(kl_length) --temperature $(C.kl.method_params.temperature)$(if $(filter true,$(C.kl.method_params.reverse)), --reverse) --top-tokens 5 --table $R/kl/$2.jsonl,$(call kl_tokens,$2),$(PARTS),$R/check.jsonl)$(call stage,kl examples $1 $2,$R/kl/$2.examples.jsonl,dk-examples -m $(C.model.path) -k $(C.kl.analysis.max_activating_examples.num_examples),$R/kl/$2.score.h5)

define kl_stages
$(eval GOAL.kl := $(foreach s,$(C.kl.sets),$R/kl/$s.examples.jsonl))
$(foreach s,$(C.kl.sets),$(call kl_set,$1,$s))
endef
