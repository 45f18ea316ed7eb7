"""bodystream: people, masks, landmarks and metric 3D from video, in real time."""

__version__ = "0.1.0"
__all__ = ["__version__"]
