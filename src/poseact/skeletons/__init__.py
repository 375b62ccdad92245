"""Joints without pictures: lifting them to 3D, classifying their sequences (Pham et al. 2019)."""
