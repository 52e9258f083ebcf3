# diff_mining: tokens -> the k largest and smallest logit differences of each
# position -> one ranking of the vocabulary for each ordering.
METHODS += diff_mining

diff_mining_length = --fixed-tokens $(C.diff_mining.max_tokens_per_sample)
diff_mining_lanes  = base,ft$(addprefix $(comma),$(C.nulls))
diff_mining_tokens = $(call tokens_file,$1,$(C.diff_mining.max_samples),$(diff_mining_length))
# $(call diff_mining_order,ORGANISM,SET,ORDERING)
diff_mining_order  = $(call stage,mine $1 $2 $3,$R/diff_mining/$2.$3.jsonl,dk-mine -m $(C.model.path) --ordering $3,$R/diff_mining/$2.topk.score.h5)
# $(call diff_mining_set,ORGANISM,SET)
diff_mining_set    = $(call tokens_rule,$2,$(C.diff_mining.max_samples),$(diff_mining_length))$(call stage,topk $1 $2,$R/diff_mining/$2.topk.score.h5,dk-topk $(PAIR) --lanes $(subst $(space),,$(diff_mining_lanes)) --max-samples $(C.diff_mining.max_samples) --max-tokens $(C.diff_mining.max_tokens_per_sample) -k $(C.diff_mining.top_k),$(call diff_mining_tokens,$2),$(PARTS),$R/check.jsonl)$(foreach o,$(C.diff_mining.orderings),$(call diff_mining_order,$1,$2,$o))

define diff_mining_stages
$(eval GOAL.diff_mining := $(foreach s,$(C.diff_mining.sets),$(foreach o,$(C.diff_mining.orderings),$R/diff_mining/$s.$o.jsonl)))
$(foreach s,$(C.diff_mining.sets),$(call diff_mining_set,$1,$s))
endef
