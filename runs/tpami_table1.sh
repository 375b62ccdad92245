#!/usr/bin/env bash
# TPAMI 2020, Table 1: Human3.6M, MPJPE, 49.5 mm with poses alone, 48.6 mm with both tasks.
. "$(dirname "$0")/common.sh"
train tpami_pose3d
score tpami_pose3d h36m p1
train tpami_ntu
score tpami_ntu h36m p1
train tpami_pose3d_released # the released script, same cell
score tpami_pose3d_released h36m p1
