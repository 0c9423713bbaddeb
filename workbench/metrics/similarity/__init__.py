"""How alike layers are: their weights (thesis chapter 8), or their activations.

    similarity.bures_wasserstein(x, y)                          # (units, inputs) each -> a number
    layers = similarity.layers_of(model, "query")               # name -> (units, inputs)
    names, matrix = similarity.similarity_matrix(layers, "bures_wasserstein")

``MEASURES`` lists the measures by name: which are similarities and which distances, what they
need, and what leaves them unchanged. A new one is a function of two matrices and a line there.
"""

from workbench.metrics.similarity.bures import bures_wasserstein
from workbench.metrics.similarity.covariances import block_covariance, covariance_cosine
from workbench.metrics.similarity.gaussians import (
    gaussian_jensen_shannon,
    gaussian_kl,
    hellinger,
    symmetrised_kl,
)
from workbench.metrics.similarity.histograms import jensen_shannon
from workbench.metrics.similarity.kernels import cka, rbf_cka
from workbench.metrics.similarity.matrices import layer_groups, layers_of, similarity_matrix
from workbench.metrics.similarity.orthogonal import procrustes
from workbench.metrics.similarity.registry import MEASURES, Measure
from workbench.metrics.similarity.riemannian import affine_invariant, log_euclidean
from workbench.metrics.similarity.transport import (
    centroid_wasserstein,
    sliced_wasserstein,
    wasserstein,
)
from workbench.metrics.similarity.vectors import cosine, euclidean

__all__ = [
    "MEASURES",
    "Measure",
    "affine_invariant",
    "block_covariance",
    "bures_wasserstein",
    "centroid_wasserstein",
    "cka",
    "cosine",
    "covariance_cosine",
    "euclidean",
    "gaussian_jensen_shannon",
    "gaussian_kl",
    "hellinger",
    "jensen_shannon",
    "layer_groups",
    "layers_of",
    "log_euclidean",
    "procrustes",
    "rbf_cka",
    "similarity_matrix",
    "sliced_wasserstein",
    "symmetrised_kl",
    "wasserstein",
]
