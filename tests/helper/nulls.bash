# Loaded by the tests that treat fresh nulls as finetunes: p of each against the nineteen.

# fresh_p < TABLE: from a calibration whose nulls are rigid_1 .. rigid_19 and fresh ones from
# rigid_100 on, one line a statistic: the fresh ones' p_null against the nineteen.
fresh_p() {
    jq -c 'select(.null.kind) | (.statistic == "logp_change") as $two
        | [.null.values | to_entries[] | {n: (.key | ltrimstr("rigid_") | tonumber), v: .value}]
        | [.[] | select(.n < 20) | .v] as $own | ($own | sort | .[9]) as $m
        | def far: if $two then . - $m | if . < 0 then -. else . end else . end;
          ($own | map(far)) as $old
        | [.[] | select(.n >= 100) | .v | far as $t | (1 + ([$old[] | select(. >= $t)] | length)) / (1 + ($old | length))]'
}

# spread_evenly CRITICAL < P: each line's largest distance from uniform stays below CRITICAL (its value at p
# .0001 for so many), and of all p no more than a tenth are at the limit.
spread_evenly() {
    jq -es --argjson critical "$1" 'length > 5 and
        ([.[] | . as $p | [range(1; 21) | . as $k | (([$p[] | select(. <= $k / 20 + 1e-9)] | length) / ($p | length) - $k / 20)
            | if . < 0 then -. else . end] | max] | max | debug) < $critical
        and (([.[][] | select(. < .051)] | length) / ([.[][]] | length) | debug) <= .1'
}
