#!/usr/bin/env bash
# TPAMI 2020, Table 7: one network, cut at several speeds. The paper does not say at which blocks:
# here the ends of pyramids 8, 6 and 5 (the first that acts); --block takes any other.
# 2D: 88.3 and 98.7 % at 120 fps, 85.5 and 97.5 % at 240.
# 3D: 87.0 %, 48.6 mm, 89.9 % at 90 fps; 83.8, 57.3, 87.7 at 180; 80.7, 63.9, 86.6 at 240.
. "$(dirname "$0")/common.sh"
train tpami_penn
for pyramid in 8 6; do
  score tpami_penn mpii pckh-in-crop --block "$pyramid" 0
  score tpami_penn penn multi-clip --block "$pyramid" 0
done
score tpami_penn mpii pckh-in-crop --block 5 3
score tpami_penn penn multi-clip --block 5 3
train tpami_ntu
for pyramid in 8 6; do
  score tpami_ntu mpii pckh-in-crop --block "$pyramid" 0
  score tpami_ntu h36m p1 --block "$pyramid" 0
  score tpami_ntu ntu cross-subject --block "$pyramid" 0
done
score tpami_ntu mpii pckh-in-crop --block 5 3
score tpami_ntu h36m p1 --block 5 3
score tpami_ntu ntu cross-subject --block 5 3
