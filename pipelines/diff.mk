# pipelines/diff.mk: any pair, without configuration files (pair.mk has the words).

# A path that is here, or where dk-fetch puts what is not.
resolve  = $(or $(wildcard $1),$(call ask,$(DK)/dk-fetch $(if $(ASKING),--offline) --configs $(CONFIGS) $(call quote,$1)))

$(if $(filter -,$(TEXT)),$(error texts of standard input are read when the comparison runs; a plan needs a file))
diff.base := $(call resolve,$(BASE))
diff.ft   := $(call resolve,$(FT))
diff.null := $(if $(NULL),$(call resolve,$(NULL)))
diff.name := $(call bare,$(FT))
# Lanes are called base and ft already.
diff.null.name := $(patsubst ft,null,$(patsubst base,null,$(call bare,$(NULL))))

diff.trained := -m $(diff.base) -f $(diff.ft) $(if $(diff.null),-n $(diff.null.name)=$(diff.null)) --dtype $(DTYPE)
diff.pair  := $(diff.trained) $(foreach n,$(RIGID),-n $n=$D/nulls/$n)
diff.given := $(foreach p,$(diff.base) $(diff.ft) $(diff.null),$(call files,$p))
diff.parts := $(diff.given) $(foreach n,$(RIGID),$(call rigid_file,$D,$n,$(diff.ft)))
diff.set   := $(if $(filter $D/text/stdin-%,$(TEXT)),stdin,$(firstword $(subst ., ,$(notdir $(TEXT)))))
diff.json  := {"organism.name":"$(diff.name)","model.name":"$(call bare,$(BASE))","dtype":"$(DTYPE)","model.path":"$(abspath $(diff.base))"}
diff.tok   := $D/tokens/$(diff.set).tok.h5
diff.kl    := $D/kl/$(diff.set)
diff.mined := $D/diff_mining/$(diff.set)
diff.adl   := $D/activation_difference_lens/$(diff.set)

# One pass gives both methods what they need.
diff.one   := $(and $(filter kl,$(diff.methods)),$(filter diff_mining,$(diff.methods)))
diff.lists := $(if $(diff.one),$(diff.kl),$(diff.mined).topk).score.h5

diff.goal.kl          := $(diff.kl).score.h5
diff.goal.diff_mining := $(diff.mined).top_k_occurring.jsonl
diff.goal.activation_difference_lens := $(diff.adl).lens.jsonl

# What dk-calibrate reads: each once.
diff.found  := $(foreach m,$(diff.methods),$(diff.goal.$m))
diff.scores := $(sort $(filter %.score.h5,$(diff.found)) $(if $(filter diff_mining,$(diff.methods)),$(diff.lists)))
diff.means  := $(if $(filter activation_difference_lens,$(diff.methods)),$(diff.adl).means.jsonl)

# Whether the finetune is its base is known after the check: make reads this file,
# and if it had to be made begins again.  A question takes it as it is.
diff.identical :=
$(call printed,identity $(diff.name),$D/identical.mk,1,awk '/"check":"A8"$(comma)"lane":"ft".*"detail":"identical/ { yes = "yes" } END { print "diff.identical := " yes }' $D/check.jsonl,$D/check.jsonl)
ifeq ($(ASKING),)
include $D/identical.mk
else
$(eval $(if $(wildcard $D/identical.mk),$(file <$D/identical.mk)))
endif
# Then there is nothing to compare, and what stands here is of another finetune.
diff.goals := $(if $(diff.identical),,$(diff.found) $D/calibration.jsonl $(if $(PROMPTS),$D/answers.jsonl))
diff.other := $(if $(diff.identical),$(wildcard $(addsuffix .*,$(diff.kl) $(diff.mined) $(diff.adl)) $D/answers.jsonl* $D/calibration.jsonl*))

$(call printed,pair $(diff.name),$D/pair.json,$(diff.json),printf '%s\n' $(call quote,$(diff.json)),)
$(call stage,check $(diff.name),$D/check.jsonl,dk-check $(diff.trained) --allow-identical,,$(diff.given))
$(call stage,tokens $(diff.set),$(diff.tok),dk-tokenize -m $(diff.base) --format $(FORMAT) $(if $(COLUMN),--column $(COLUMN)) --max-samples $(SAMPLES) --max-tokens $(TOKENS),$(TEXT),$(call files,$(diff.base)))
$(call rigid,$(diff.name),$D,$(diff.base),$(diff.ft),--dtype $(DTYPE),$(diff.tok),$(diff.given),$D/check.jsonl)
$(call stage,kl $(diff.set),$(diff.kl).score.h5 $(diff.kl).jsonl,dk-kl $(diff.pair) --arith $(ARITH) --top-tokens 5 $(if $(diff.one),-k $(TOP)) --max-samples 0 --max-tokens 0 --table $(diff.kl).jsonl,$(diff.tok),$(diff.parts),$D/check.jsonl)
$(if $(diff.one),,$(call stage,topk $(diff.set),$(diff.mined).topk.score.h5,dk-topk $(diff.pair) --arith $(ARITH) --chat whole --max-samples 0 --max-tokens 0 -k $(TOP),$(diff.tok),$(diff.parts),$D/check.jsonl))
$(call stage,mine $(diff.set),$(diff.mined).top_k_occurring.jsonl,dk-mine -m $(diff.base),$(diff.lists))
$(call stage,extract $(diff.set),$(diff.adl).act.h5,dk-extract $(diff.pair) --arith $(ARITH) --layers $(LAYERS),$(diff.tok),$(diff.parts),$D/check.jsonl)
$(call stage,mean $(diff.set),$(diff.adl).dir.h5 $(diff.adl).means.jsonl,dk-mean -n $(POSITIONS) --fewer --table $(diff.adl).means.jsonl,$(diff.adl).act.h5)
$(call stage,lens $(diff.set),$(diff.adl).lens.jsonl,dk-lens -m $(diff.base) --dtype $(DTYPE) -k $(TOP),$(diff.adl).dir.h5,$(call files,$(diff.base)))
$(call stage,calibrate $(diff.set),$D/calibration.jsonl,dk-calibrate $(diff.means),$(diff.scores) $(filter %.lens.jsonl,$(diff.found)),$(if $(diff.means),$(diff.adl).dir.h5))
$(if $(PROMPTS),$(call stage,answers $(diff.name),$D/answers.jsonl,dk-generate -m $(diff.base) -f $(diff.ft) --dtype $(DTYPE) --prompts $(PROMPTS),,$(PROMPTS) $(diff.given),$D/check.jsonl))
$(call printed,summary $(diff.name),$D/summary.txt $D/summary.json $D/index.html,$(call ask,$(DK)/dk-report --stamp),$(DK)/dk-report $D,$D/pair.json $D/check.jsonl $(diff.goals))
$(if $(diff.other),$(eval $D/summary.txt: others)$(eval others: $D/check.jsonl ; @rm -f $(diff.other)))

.PHONY: diff others
diff: $D/identical.mk $D/summary.txt
	$(call show,$D/summary.txt)
