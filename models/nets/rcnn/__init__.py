"""Faster R-CNN and what was built on it: boxes, masks, keypoints, dense correspondence from one trunk."""
