#!/usr/bin/env bash
# CVPR 2018, Table 1: Human3.6M, MPJPE: 55.1 mm with one crop, 53.2 mm with five, mirrored too.
. "$(dirname "$0")/common.sh"
train cvpr_h36m
score cvpr_h36m h36m p1
score cvpr_h36m h36m p1 --views multi_crop
