# diff_mining: tokens -> the k largest and smallest logit differences of each
# position -> one ranking of the vocabulary for each ordering, topics, and what
# else the configuration asks for.
METHODS += diff_mining

mining             = $(C.diff_mining.$1)
mining_slr         = $(call mining,sequence_likelihood_ratio.$1)
# Chats are cut where the longest start of one and its answer end.
mining_longest     = $(shell echo $$((512 + $(call mining,max_tokens_per_sample))))
mining_length      = $(if $(filter chat,$(C.set.$1.format)),--max-tokens $(mining_longest),--fixed-tokens $(call mining,max_tokens_per_sample))
mining_tokens      = $(call tokens_file,$1,$(call mining,max_samples),$(call mining_length,$1))
mining_lanes       = base,ft$(addprefix $(comma),$(C.nulls))
mining_depth.logits          =
mining_depth.logit_lens      = --extraction logit_lens --lens-depth $(call mining,logit_extraction.logit_lens.layer)
mining_depth.patchscope_lens = --extraction patchscope_lens --patch-depth $(call mining,logit_extraction.patchscope_lens.layer)
mining_read        = $(mining_depth.$(call mining,logit_extraction.method))$(if $(filter chat,$(C.set.$1.format)), --pre-assistant $(call mining,pre_assistant_k))$(if $(filter-out null,$(call mining,max_vocab_size)), --max-vocab $(call mining,max_vocab_size))$(if $(filter true,$(call mining_slr,enabled)), --logp)
mining_words       = $(if $(filter true,$(call mining,filter_pure_punctuation)), --no-punctuation)$(if $(filter true,$(call mining,normalize_tokens)), --merge)$(if $(filter true,$(call mining,filter_special_tokens)), --no-special)
mining_nmf         = $(call mining,token_ordering.nmf.$1)
mining_n           = -n $(call mining,visualization.num_tokens_to_plot)
mining_how.top_k_occurring        = $(mining_n)
mining_how.fraction_positive_diff = $(mining_n)
mining_how.nmf     = -n $(call mining_nmf,top_n_tokens_per_topic) --topics $(call mining_nmf,num_topics) --mode $(call mining_nmf,mode) --beta $(call mining_nmf,beta)$(if $(filter true,$(call mining_nmf,orthogonal)), --orthogonal --orthogonal-weight $(call mining_nmf,orthogonal_weight)) --seed $(C.seed)
# $(call mining_table,ORGANISM,SET,NAME,OPTIONS)
mining_table       = $(call stage,mine $1 $2 $3,$R/diff_mining/$2.$3.jsonl,dk-mine -m $(C.model.path) $4,$R/diff_mining/$2.topk.score.h5)
# $(call mining_more,ORGANISM,SET): the tables beside the orderings.
mining_names       = $(if $(filter true,$(call mining,positional_kde.enabled)),positions) $(if $(filter true,$(call mining_slr,enabled)),windows)
mining_more.positions = --show positions --positions $(call mining,positional_kde.num_positions)
mining_more.windows   = --show windows --window-size $(call mining_slr,window_size) --step $(call mining_slr,step) -n $(call mining_slr,top_k_print)
# $(call mining_set,ORGANISM,SET)
mining_set         = $(call tokens_rule,$2,$(call mining,max_samples),$(call mining_length,$2))$(call stage,topk $1 $2,$R/diff_mining/$2.topk.score.h5,dk-topk $(PAIR) --lanes $(subst $(space),,$(mining_lanes)) --max-samples $(call mining,max_samples) --max-tokens $(call mining,max_tokens_per_sample) -k $(call mining,top_k) $(call mining_read,$2),$(call mining_tokens,$2),$(PARTS),$R/check.jsonl)$(foreach o,$(call mining,orderings),$(call mining_table,$1,$2,$o,--ordering $o $(mining_how.$o)$(mining_words)))$(foreach o,$(mining_names),$(call mining_table,$1,$2,$o,$(mining_more.$o)))

define diff_mining_stages
$(eval GOAL.diff_mining := $(foreach s,$(call mining,sets),$(foreach o,$(call mining,orderings) $(mining_names),$R/diff_mining/$s.$o.jsonl)))
$(foreach s,$(call mining,sets),$(call mining_set,$1,$s))
endef
