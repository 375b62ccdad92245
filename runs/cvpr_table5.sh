#!/usr/bin/env bash
# CVPR 2018, Table 5, aggregation: 81.1 % before fine-tuning, 84.4 % after, 85.5 % over clips.
. "$(dirname "$0")/common.sh"
train cvpr_ntu_frozen
score cvpr_ntu_frozen ntu cross-subject --step 2
train cvpr_ntu
score cvpr_ntu ntu cross-subject --step 2
score cvpr_ntu ntu cross-subject-multi-clip --step 2
