#!/usr/bin/env bash
# CVPR 2018, Table 2: MPII, PCKh@0.5 91.2 %, PCKh@0.2 67.7 %, areas 63.9 % and 34.9 %.
# These are of the test people, whose poses are not public; here the validation people, and the
# file of predictions that the benchmark takes (needs the test list of MPII).
. "$(dirname "$0")/common.sh"
train cvpr_mpii
score cvpr_mpii mpii pckh
score cvpr_mpii mpii pckh --views multi_crop
train cvpr_mpii_released # the released script
score cvpr_mpii_released mpii pckh
