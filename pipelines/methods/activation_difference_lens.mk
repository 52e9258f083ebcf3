# activation_difference_lens: tokens, of each text the first n -> activations at
# the layers asked for -> their means by position -> the tokens that these
# directions speak for; the nulls beside the finetune all the way.
METHODS += activation_difference_lens

adl        = $(C.activation_difference_lens.$1)
adl_length = --fixed-tokens $(call adl,n)
adl_lanes  = base,ft$(addprefix $(comma),$(C.nulls))
adl_tokens = $(call tokens_file,$1,$(call adl,max_samples),$(adl_length))
adl_file   = $R/activation_difference_lens/$1
# $(call adl_lens,ORGANISM,SET)
adl_lens   = $(call stage,lens $1 $2,$(call adl_file,$2.lens.jsonl),dk-lens -m $(C.model.path) --dtype $(C.dtype) -k $(call adl,logit_lens.k),$(call adl_file,$2.dir.h5),$(call files,$(C.model.path)))
# $(call adl_set,ORGANISM,SET)
adl_set    = $(call tokens_rule,$2,$(call adl,max_samples),$(adl_length))$(call stage,extract $1 $2,$(call adl_file,$2.act.h5),dk-extract $(PAIR) --lanes $(subst $(space),,$(adl_lanes)) --max-samples $(call adl,max_samples) --layers $(call adl,depths),$(call adl_tokens,$2),$(PARTS),$R/check.jsonl)$(call stage,mean $1 $2,$(call adl_file,$2.dir.h5) $(call adl_file,$2.means.jsonl),dk-mean -n $(call adl,n) -k $(call adl,pre_assistant_k) --table $(call adl_file,$2.means.jsonl),$(call adl_file,$2.act.h5))$(if $(filter true,$(call adl,logit_lens.cache)),$(call adl_lens,$1,$2))

define activation_difference_lens_stages
$(eval GOAL.activation_difference_lens := $(foreach s,$(call adl,sets),$(call adl_file,$s.$(if $(filter true,$(call adl,logit_lens.cache)),lens.jsonl,dir.h5))))
$(foreach s,$(call adl,sets),$(call adl_set,$1,$s))
endef
