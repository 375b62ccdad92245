#!/usr/bin/env bash
# TPAMI 2020, Table 6: one task or two; Penn Action 87.5, 97.4, 98.2 %; NTU 88.0, 89.9 %.
. "$(dirname "$0")/common.sh"
train tpami_penn_action_only
score tpami_penn_action_only penn single-clip
train tpami_penn_same_data
score tpami_penn_same_data penn single-clip
train tpami_penn
score tpami_penn penn single-clip
train tpami_ntu_action_only
score tpami_ntu_action_only ntu cross-subject
train tpami_ntu
score tpami_ntu ntu cross-subject
