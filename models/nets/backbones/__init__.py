"""Trunks: what turns a picture into feature maps, each a classifier by itself."""
