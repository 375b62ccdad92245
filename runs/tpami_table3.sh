#!/usr/bin/env bash
# TPAMI 2020, Table 3: NTU RGB+D cross-subject, 89.9 %.
. "$(dirname "$0")/common.sh"
train tpami_ntu
score tpami_ntu ntu cross-subject
score tpami_ntu ntu cross-subject-multi-clip
train tpami_ntu_released # the released network and script, same cell
score tpami_ntu_released ntu cross-subject-released
train tpami_ntu_decoupled # the text's decoupled action poses (3.3.4), which it measures on Penn only
score tpami_ntu_decoupled ntu cross-subject
score tpami_ntu_decoupled h36m p1
