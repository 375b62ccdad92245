#!/usr/bin/env bash
# CVPR 2018, Table 4: NTU RGB+D cross-subject, 85.5 %.
. "$(dirname "$0")/common.sh"
train cvpr_ntu
score cvpr_ntu ntu cross-subject-multi-clip --step 2
