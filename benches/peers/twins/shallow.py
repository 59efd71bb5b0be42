import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from common import array


def knn(variant):
    x, queries = array(1, 10_000, 512), array(2, 1000, 512)
    if variant == "torch":
        x, queries = torch.from_numpy(x), torch.from_numpy(queries)
        square = x.square().sum(1)

        def run():
            # |q|^2 is the same for all samples of a query.
            return torch.addmm(square, queries, x.T, alpha=-2).topk(5, largest=False, sorted=True)[1]

        return run
    found = KNeighborsClassifier(5, algorithm="brute").fit(x, np.arange(10_000) % 10)
    return lambda: found.kneighbors(queries, return_distance=False)


def kmeans(_):
    x = array(1, 10_000, 64)
    # As many iterations as ours, whatever the change.
    return lambda: KMeans(32, n_init=1, max_iter=20, tol=0, random_state=0).fit(x).inertia_


def logreg(_):
    labels = np.arange(5000) % 10
    x = array(5, 10, 1280)[labels] + array(6, 5000, 1280) * np.float32(8.0)

    def run():
        # scikit-learn's tolerance is of the same gradient as ours.
        fit = LogisticRegression(C=1.0, tol=1e-4, max_iter=200).fit(x, labels)
        return fit.decision_function(x)

    return run


WORKLOADS = {"knn": knn, "kmeans": kmeans, "logreg": logreg}
