#!/usr/bin/env bash
# TPAMI 2020, Table 5: what the action heads see; MPII PCKh@0.5 and Penn Action, single clip.
. "$(dirname "$0")/common.sh"
train tpami_penn_p2_pose # 84.9 %, 97.7 %
score tpami_penn_p2_pose mpii pckh-in-crop
score tpami_penn_p2_pose penn single-clip
train tpami_penn_p2_appearance # 85.2 %, 97.9 %
score tpami_penn_p2_appearance mpii pckh-in-crop
score tpami_penn_p2_appearance penn single-clip
train tpami_penn_p2 # 85.1 %, 98.1 %
score tpami_penn_p2 mpii pckh-in-crop
score tpami_penn_p2 penn single-clip
train tpami_penn_p2_decoupled # 85.4 %, 98.2 %
score tpami_penn_p2_decoupled mpii pckh-in-crop
score tpami_penn_p2_decoupled penn single-clip
