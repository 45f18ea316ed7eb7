"""Continuous surface embeddings: every pixel of a person gets a point in a space that the mesh's vertices share.

Neverova et al., "Continuous Surface Embeddings", 2020 (arXiv:2011.12438), section 3: the vertex whose embedding
is nearest is what the pixel shows. Layers and names are those of detectron2's project DensePose
(`cse/densepose_rcnn_R_50_FPN_s1x`): DensePose's head, then a coarse mask and the embedding; the mesh's embeddings
are 256 features of each vertex (spectral ones, fixed) times a learnt matrix.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bodystream.models.nets.rcnn.densepose_head import doubling, enlarged
from bodystream.models.nets.rcnn.mask_head import initialise

EMBEDDING = 16  # dimensions of the space
VERTICES = 27554  # of the mesh that SMPL's was made finer to, as published
FEATURES = 256  # of a vertex
SMALLEST = 1e-6  # length that an embedding is divided by at least


class EmbeddingOutput(NamedTuple):
    """What is said of R boxes. H = W = 112 cells over the box."""

    coarse: Tensor  # (R, 2, H, W): logits, background and person
    embedding: Tensor  # (R, 16, H, W): not of unit length


class EmbeddingPredictor(nn.Module):
    """The two outputs."""

    def __init__(self, channels: int, coarse: int) -> None:
        super().__init__()
        self.coarse_segm_lowres = doubling(channels, coarse)
        self.embed_lowres = doubling(channels, EMBEDDING)
        initialise(self)

    def forward(self, x: Tensor) -> EmbeddingOutput:
        """(R, C, 28, 28) to 112 × 112."""
        return EmbeddingOutput(*(enlarged(each) for each in self.unenlarged(x)))

    def unenlarged(self, x: Tensor) -> EmbeddingOutput:
        """(R, C, 28, 28) to 56 × 56, as the layers give it."""
        return EmbeddingOutput(coarse=self.coarse_segm_lowres(x), embedding=self.embed_lowres(x))


class VertexEmbedder(nn.Module):
    """The mesh's vertices in the space that the pixels are put into."""

    features: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(VERTICES, FEATURES))
        self.embeddings = nn.Parameter(torch.zeros(FEATURES, EMBEDDING))

    def forward(self) -> Tensor:
        """Embeddings of unit length, float32 (27554, 16)."""
        return unit(self.features @ self.embeddings)  # (V, 16)


class Embedder(nn.Module):
    """Holds the mesh's embedder under detectron2's name."""

    def __init__(self) -> None:
        super().__init__()
        self.embedder_smpl_27554 = VertexEmbedder()

    def forward(self) -> Tensor:
        """See `VertexEmbedder`."""
        return self.embedder_smpl_27554()


def unit(embeddings: Tensor) -> Tensor:
    """Embeddings (..., D) brought to unit length."""
    return embeddings / embeddings.norm(dim=-1, keepdim=True).clamp(min=SMALLEST)


def nearest_vertex(embeddings: Tensor, vertices: Tensor) -> Tensor:
    """Which of the vertices (V, D), of unit length, each of the embeddings (P, D) is nearest to: int64 (P,).

    Of unit vectors the nearest has the largest product, whatever the length of the other one.
    """
    return (embeddings @ vertices.T).argmax(1)


def embedding_loss(embeddings: Tensor, vertices: Tensor, truth: Tensor, sigma: float) -> Tensor:
    """Cross entropy of pixels' embeddings (P, D) over the vertices (V, D), of unit length: section 3.2, equation 2.

    `truth` is int64 (P,). `sigma` is what squared distances are divided by; of no pixels the loss is zero.
    """
    if not len(truth):
        return embeddings.sum() * 0
    squared = 2 - 2 * unit(embeddings) @ vertices.T  # (P, V): distances of unit vectors
    return F.cross_entropy(-squared / sigma, truth)
