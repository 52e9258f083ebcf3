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
# Which tokens belong to what was taught: by the words of the finetuning texts, else of the
# description; by a language model where its key lies, or where it is asked for.
mining_grade       = $(call mining,token_relevance.$1)
mining_key         = $(wildcard $(call mining_grade,grader.api_key_path))
mining_llm         = $(or $(filter llm,$(call mining_grade,grader.kind)),$(and $(filter auto,$(call mining_grade,grader.kind)),$(mining_key)))
mining_about       = $(or $(C.description),$(if $(C.described),$R/description.md))
mining_texts       = $(if $(C.set.$1.path),-m $(C.model.path) --texts $(C.set.$1.path) --column $(C.set.$1.column))
mining_frequent    = --frequent $(call mining_grade,frequent_tokens.num_tokens) --min-count $(call mining_grade,frequent_tokens.min_count)
mining_judge       = -g llm --endpoint $(call quote,$(call mining_grade,grader.base_url)) --judge $(call quote,$(call mining_grade,grader.model_id)) --max-tokens $(call mining_grade,grader.max_tokens) --rotations $(call mining_grade,grader.permutations) --batch-size $(call mining_grade,batch_size) --agreement $(call mining_grade,agreement)$(if $(filter true,$(call mining_grade,include_translation)), --translate) $(addprefix -d ,$(mining_about)) --cache $R/diff_mining/replies $(addprefix --key ,$(mining_key)) $(mining_texts)
mining_words_of    = $(or $(cal_words),$(addprefix -d ,$(mining_about)))
# Non-empty if there is something to grade by.
mining_graded      = $(and $(filter true,$(call mining_grade,enabled)),$(if $(mining_llm),$(or $(mining_about),$(filter llm,$(call mining_grade,grader.kind))),$(mining_words_of)))
# The description, if it is what is graded by.
mining_reads       = $(if $(or $(mining_llm),$(if $(cal_words),,words)),$(mining_about))
mining_lone        = $(filter-out $(RIGID),$(C.nulls))
mining_null_table  = $R/diff_mining/nulls/$1.top_k_occurring.$2.jsonl
mining_relevance   = $(foreach n,$(mining_lone),$(call stage,mine $1 $2 top_k_occurring $n,$(call mining_null_table,$2,$n),dk-mine -m $(C.model.path) -l $n --nulls beside --snippets 0 -n $(call mining_grade,k_candidate_tokens),$R/diff_mining/$2.topk.score.h5))$(call stage,grade $1 $2,$R/diff_mining/$2.relevance.jsonl,dk-grade -n $(call mining_grade,k_candidate_tokens) $(mining_frequent) $(if $(mining_llm),$(mining_judge),$(mining_words_of)),$(foreach o,$(call mining,orderings),$R/diff_mining/$2.$o.jsonl) $(foreach n,$(mining_lone),$(call mining_null_table,$2,$n)),$(mining_reads) $(if $(C.set.$1.path),$(C.set.$1.path) $(C.set.$(C.neutral).path)))
# $(call mining_set,ORGANISM,SET)
mining_set         = $(call tokens_rule,$2,$(call mining,max_samples),$(call mining_length,$2))$(call stage,topk $1 $2,$R/diff_mining/$2.topk.score.h5,dk-topk $(PAIR) --lanes $(subst $(space),,$(mining_lanes)) --max-samples $(call mining,max_samples) --max-tokens $(call mining,max_tokens_per_sample) -k $(call mining,top_k) $(call mining_read,$2),$(call mining_tokens,$2),$(PARTS),$R/check.jsonl)$(foreach o,$(call mining,orderings),$(call mining_table,$1,$2,$o,--ordering $o $(mining_how.$o)$(mining_words)))$(foreach o,$(mining_names),$(call mining_table,$1,$2,$o,$(mining_more.$o)))$(if $(mining_graded),$(call mining_relevance,$1,$2))

define diff_mining_stages
$(eval GOAL.diff_mining := $(foreach s,$(call mining,sets),$(foreach o,$(call mining,orderings) $(mining_names) $(if $(mining_graded),relevance),$R/diff_mining/$s.$o.jsonl)))
$(if $(filter $R/description.md,$(mining_reads)),$(if $(mining_graded),$(call printed,description $1,$R/description.md,$(call ask,$(call conf,get organism.description_long,$1) | sha256sum),$(call conf,get organism.description_long,$1))))
$(foreach s,$(call mining,sets),$(call mining_set,$1,$s))
endef
