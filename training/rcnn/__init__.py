"""The training of R-CNNs: made-up scenes or data in COCO format, what a net is judged by."""
