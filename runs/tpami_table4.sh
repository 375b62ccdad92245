#!/usr/bin/env bash
# TPAMI 2020, Table 4: network layouts; MPII PCKh@0.5 and Penn Action, single clip.
. "$(dirname "$0")/common.sh"
train tpami_penn_p1 # 74.3 %, 97.2 %
score tpami_penn_p1 mpii pckh-in-crop
score tpami_penn_p1 penn single-clip
train tpami_penn_p2_last # 84.2 %, 97.5 %
score tpami_penn_p2_last mpii pckh-in-crop
score tpami_penn_p2_last penn single-clip
train tpami_penn_p2 # 85.1 %, 98.1 %
score tpami_penn_p2 mpii pckh-in-crop
score tpami_penn_p2 penn single-clip
train tpami_penn # 88.3 %, 98.2 %
score tpami_penn mpii pckh-in-crop
score tpami_penn penn single-clip
train tpami_penn_26m # the same row, at its number of parameters
score tpami_penn_26m mpii pckh-in-crop
score tpami_penn_26m penn single-clip
train tpami_penn_p2_released # the third row by the released script
score tpami_penn_p2_released mpii pckh-in-crop
score tpami_penn_p2_released penn single-clip
