#!/usr/bin/env bash
# The 2024 report: VGG-16 stem. Penn Action 44.10 %; MPII by joint, from 1.0 (left knee) to 7.4 (neck).
# STEM: torchvision's VGG-16 (a state dict), to begin from ImageNet's weights.
. "$(dirname "$0")/common.sh"
train report_vgg_mpii ${STEM:+--stem "$STEM"}
score report_vgg_mpii mpii pckh
train report_vgg_penn ${STEM:+--stem "$STEM"}
score report_vgg_penn penn single-clip
score report_vgg_penn penn multi-clip
