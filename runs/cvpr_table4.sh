#!/usr/bin/env bash
# CVPR 2018, Table 4: NTU RGB+D cross-subject: top1 85.5 %, of RGB alone (top1_appearance) 84.6 %.
. "$(dirname "$0")/common.sh"
train cvpr_ntu
score cvpr_ntu ntu cross-subject-multi-clip
