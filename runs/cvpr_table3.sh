#!/usr/bin/env bash
# CVPR 2018, Table 3: Penn Action with estimated poses, 97.4 %.
. "$(dirname "$0")/common.sh"
train cvpr_penn
score cvpr_penn penn multi-clip
