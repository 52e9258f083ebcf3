# contrast: samples of base, finetune and nulls with the difference amplified -> what
# they have in common -> pre-fills made of that, fresh seeds -> once more, with the facts.
# It runs when it is named.
METHODS += contrast
ON_CALL += contrast

contrast        = $(C.contrast.$1)
contrast_file   = $R/contrast/$1
contrast_alphas = $(subst $(space),,$(subst ],,$(subst [,,$(call contrast,amplify.alphas))))
contrast_alpha  = $(lastword $(subst $(comma), ,$(contrast_alphas)))
contrast_format.raw  = --format text
contrast_format.chat = --format chat $(TEMPLATE)$(if $(filter true,$(C.model.has_enable_thinking)), --no-thinking)
contrast_own    = $(filter-out null,$(call contrast,amplify.prefills))
# $(call contrast_how,SAMPLES)
contrast_how    = --amplify=$(contrast_alphas) --plausibility $(call contrast,amplify.plausibility) --greedy $(call contrast,amplify.greedy) --samples $1 --temperature $(call contrast,amplify.temperature) --top-p $(call contrast,amplify.top_p) --max-new-tokens $(call contrast,amplify.max_new_tokens) --min-new-tokens $(call contrast,amplify.min_new_tokens) --loop-stop $(call contrast,amplify.loop_stop)
# The second round draws anew.
contrast_seed   = $(shell echo $$(( $(C.seed) + 1 )))
contrast_again  = $(subst --seed $(C.seed),--seed $(contrast_seed),$(PAIR))
contrast_first  = $(call stage,contrast sample $1,$(call contrast_file,first.jsonl),dk-generate $(PAIR) $(contrast_format.$(call contrast,amplify.template)) $(if $(contrast_own),--prompts $(contrast_own)) $(call contrast_how,$(call contrast,amplify.samples)),,$(contrast_own) $(PARTS) $(CHAT),$R/check.jsonl)
contrast_second = $(call stage,contrast resample $1,$(call contrast_file,second.jsonl),dk-generate $(contrast_again) --format text --prompts $(call contrast_file,second.prefills.jsonl) $(call contrast_how,$(call contrast,second.draws)),,$(call contrast_file,second.prefills.jsonl) $(PARTS),$R/check.jsonl)

# With the finetuning texts at hand also what of them came back.
contrast_words  = $(if $(cal_words),--background $(C.set.$(C.neutral).path) $(cal_words) --corpus $(C.set.$1.path) --unrelated $(C.set.$(C.neutral).path)) $(if $(C.facts),--facts $(C.facts))
contrast_texts  = $(if $(cal_words),$(C.set.$1.path) $(C.set.$(C.neutral).path) $(call files,$(C.model.path))) $(C.facts)
# $(call contrast_phrases,ORGANISM,ROUND)
contrast_phrases = $(call stage,contrast phrases $1 $2,$(call contrast_file,$2.phrases.jsonl),dk-phrases --alpha $(contrast_alpha) --limit $(call contrast,phrases.limit) --list $(call contrast,phrases.list) --slots $(call contrast,phrases.slots) --max-samples $(call contrast,phrases.documents) $(call contrast_words,$1),$(call contrast_file,$2.jsonl),$(call contrast_texts,$1))
contrast_prefills = $(call stage,contrast prefills $1,$(call contrast_file,second.prefills.jsonl),dk-phrases --alpha $(contrast_alpha) --prefills $(call contrast,second.words),$(call contrast_file,first.jsonl))

define contrast_stages
$(eval GOAL.contrast := $(foreach r,first $(if $(filter true,$(call contrast,second.enabled)),second),$(call contrast_file,$r.phrases.jsonl)))
$(call contrast_first,$1)
$(call contrast_phrases,$1,first)
$(if $(filter true,$(call contrast,second.enabled)),$(call contrast_prefills,$1)$(call contrast_second,$1)$(call contrast_phrases,$1,second))
endef
