#!/usr/bin/env bash
# CVPR 2018, Table 5, aggregation (top1): 81.1 % before fine-tuning, 84.4 % after, 85.5 % over clips.
# Poses (top1_pose) 64.5, 71.7, 74.3 %; appearance (top1_appearance) 80.1, 83.2, 84.6 %.
# Kinect poses: 63.3, 76.4 and 78.2 %.
. "$(dirname "$0")/common.sh"
train cvpr_ntu_kinect
score cvpr_ntu_kinect ntu cross-subject-kinect
train cvpr_ntu_frozen
score cvpr_ntu_frozen ntu cross-subject
train cvpr_ntu
score cvpr_ntu ntu cross-subject
score cvpr_ntu ntu cross-subject-multi-clip
