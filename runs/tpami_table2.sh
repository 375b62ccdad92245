#!/usr/bin/env bash
# TPAMI 2020, Table 2: Penn Action, 98.2 % with one clip, 98.7 % with several.
. "$(dirname "$0")/common.sh"
train tpami_penn
score tpami_penn penn single-clip
score tpami_penn penn multi-clip
train tpami_penn_released # the released network and script, same cells
score tpami_penn_released penn single-clip
score tpami_penn_released penn released
