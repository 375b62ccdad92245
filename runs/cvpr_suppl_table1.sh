#!/usr/bin/env bash
# CVPR 2018, supplement, Table 1: Human3.6M, 67.3 and 63.8 mm alone, 55.1 and 53.2 mm with MPII.
. "$(dirname "$0")/common.sh"
train cvpr_h36m_only
score cvpr_h36m_only h36m p1
score cvpr_h36m_only h36m p1 --views multi_crop
train cvpr_h36m
score cvpr_h36m h36m p1
score cvpr_h36m h36m p1 --views multi_crop
