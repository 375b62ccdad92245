#!/usr/bin/env bash
# CVPR 2018, Table 3: Penn Action with estimated poses, 97.4 %, and annotated ones, 98.6 %.
. "$(dirname "$0")/common.sh"
train cvpr_penn
score cvpr_penn penn multi-clip
train cvpr_penn_joint # both tasks from the start (5.4), 97.3 %
score cvpr_penn_joint penn multi-clip
train cvpr_penn_annotated
score cvpr_penn_annotated penn multi-clip-annotated
