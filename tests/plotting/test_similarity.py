"""Chapter 8's heatmaps: layers by layers, in order or clustered, and the pairs that are fused."""

from __future__ import annotations

from typing import Any

import fusion_frames as fusion
import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr

from workbench import plotting
from workbench.plotting import points, similarity_grids

METHOD = "LF mean (WS)"


@pytest.fixture(scope="module")
def data(make: Any) -> pd.DataFrame:
    return points.similarities([make.fused("none"), make.fused(METHOD)])


def cells(ax: Any) -> np.ndarray:
    return np.ma.filled(ax.images[0].get_array().astype(float), np.nan)


def labels(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def outlined(ax: Any) -> set[tuple[int, int]]:
    """Row and column of the cells with an outline."""
    found = set()
    for path in ax.collections[-1].get_paths():
        x, y = path.vertices[:4].mean(axis=0)
        found.add((round(y), round(x)))
    return found


def test_a_panel_for_each_type_of_module_on_one_scale(data: pd.DataFrame) -> None:
    axes = plotting.plot_similarity_heatmap(data)
    assert [ax.get_title(loc="left") for ax in axes] == list(fusion.MODULES)
    assert len({(ax.images[0].norm.vmin, ax.images[0].norm.vmax) for ax in axes}) == 1
    for ax, module in zip(axes, fusion.MODULES, strict=True):
        wanted = fusion.matrix("bures_wasserstein", module)
        np.fill_diagonal(wanted, np.nan)
        np.testing.assert_allclose(cells(ax), wanted)
    axes[0].figure.draw_without_rendering()
    assert labels(axes[0].yaxis) == [str(layer) for layer in range(12)]
    (one,) = plotting.plot_similarity_heatmap(data, modules=["key"])
    assert one.get_title(loc="left") == "key"


def test_fused_pairs_are_outlined_on_both_sides(data: pd.DataFrame) -> None:
    axes = plotting.plot_similarity_heatmap(data)
    for ax, module in zip(axes, fusion.MODULES, strict=True):
        wanted = {cell for i, j in fusion.closest(module, 4) for cell in ((i, j), (j, i))}
        assert outlined(ax) == wanted
    assert "outlined: pairs fused by LF mean (WS)" in plotting.plot_similarity_heatmap(data)[
        0
    ].figure._supxlabel.get_text().replace("\n", " ")
    assert "Outlined: 20 pairs by LF mean (WS)." in plotting.alt_text("similarity_heatmap", data)


@pytest.mark.parametrize("measure", ["bures_wasserstein", "covariance_cosine"])
@pytest.mark.parametrize("scale", similarity_grids.SCALES)
def test_light_is_closer_whatever_is_measured(data: pd.DataFrame, measure: str, scale: str) -> None:
    ax, *_, last = plotting.plot_similarity_heatmap(data, measure=measure, scale=scale)
    image, values = ax.images[0], fusion.matrix(measure, "query")
    shown = image.cmap(image.norm(cells(ax)))[..., :3].sum(-1)
    off = ~np.eye(12, dtype=bool)
    far = values if measure in fusion.DISTANCES else -values
    assert shown[off].argmax() == far[off].argmin()
    bar = last.images[0].colorbar.ax
    assert bar.get_title() == "closer" and bar.get_xlabel() == "farther"
    assert bar.yaxis_inverted() == (measure in fusion.DISTANCES or scale == "each")


def test_clustering_puts_alike_layers_together(data: pd.DataFrame) -> None:
    ax = plotting.plot_similarity_heatmap(data, order="clustered")[0]
    ax.figure.draw_without_rendering()
    order = [int(label) for label in labels(ax.yaxis)]
    assert sorted(order) == [*range(12)] and labels(ax.xaxis) == labels(ax.yaxis)
    wanted = fusion.matrix("bures_wasserstein", "query")[np.ix_(order, order)]
    np.testing.assert_allclose(cells(ax)[np.triu_indices(12, 1)], wanted[np.triu_indices(12, 1)])
    placed = {tuple(sorted((order.index(i), order.index(j)))) for i, j in
              fusion.closest("query", 4)}  # fmt: skip
    assert {cell for cell in outlined(ax) if cell[0] < cell[1]} == placed


def test_an_order_is_one_of_the_tree() -> None:
    spots = np.random.default_rng(1).normal(size=(9, 2))
    far = squareform(pdist(spots))
    order = similarity_grids.clustered(far, "distance")
    assert order == similarity_grids.clustered(1 - far / far.max(), "similarity")
    heights = squareform(cophenet(linkage(pdist(spots), "average")))[np.ix_(order, order)]
    for row in range(8):  # from a leaf outwards, layers join later and later
        assert (np.diff(heights[row, row + 1 :]) >= -1e-12).all()
    gaps = far.copy()
    gaps[0, 1] = gaps[1, 0] = np.nan
    assert sorted(similarity_grids.clustered(gaps, "distance")) == [*range(9)]


def test_a_few_far_pairs_do_not_take_the_scale() -> None:
    values = fusion.matrix("euclidean", "query", 20)
    values[0, 19] = values[19, 0] = 1e4
    frame = points.similarity_frame({("mine", "query"): ([*map(str, range(20))], values)})
    (ax,) = plotting.plot_similarity_heatmap(frame)
    assert ax.images[0].norm.vmax < 100 and ax.images[0].colorbar.extend == "max"
    assert "pointed end: farther still" in ax.figure._supxlabel.get_text().replace("\n", " ")


def test_sixty_layers_have_labels_that_fit(data: pd.DataFrame) -> None:
    names = fusion.names_of("query", 60)
    frame = points.similarity_frame({("euclidean", "query"): (names, np.ones((60, 60)))})
    for width in (358, 1100):
        made = plotting.figure("similarity_heatmap", frame, width=width)
        made.draw_without_rendering()
        shown = labels(made.axes[0].yaxis)
        assert 10 <= len(shown) <= 15 and shown[0] == "0"


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["h.0.q.weight", "h.1.q.weight", "h.10.q.weight"], ["0", "1", "10"]),
        (["layer1.0.conv1.weight", "layer1.0.conv2.weight"], ["conv1", "conv2"]),
        (["a.0.conv1.weight", "a.0.conv2.weight", "a.1.conv1.weight"],
         ["0.conv1", "0.conv2", "1.conv1"]),
        (["stem.first_convolution", "stem.another_one"], ["0", "1"]),
    ],
)  # fmt: skip
def test_layers_have_short_names(names: list[str], short: list[str]) -> None:
    count = len(names)
    frame = points.similarity_frame({("cosine", "x"): (names, np.eye(count))})
    grid = similarity_grids.grids(similarity_grids.narrow(frame))["x"]
    assert similarity_grids.short_names(grid) == short


def test_the_frame_of_records_and_of_matrices_is_one(data: pd.DataFrame) -> None:
    matrices = {
        (measure, module): (fusion.names_of(module), fusion.matrix(measure, module))
        for module in fusion.MODULES
        for measure in (*fusion.DISTANCES, *fusion.SIMILARITIES)
    }
    pairs = {module: fusion.closest(module, 4) for module in fusion.MODULES}
    live = points.similarity_frame(
        matrices, pairs=pairs, model="made up", task="made up", method=METHOD
    )
    pd.testing.assert_frame_equal(
        live.drop(columns="step"), data.drop(columns="step")[live.columns.drop("step")]
    )
    kinds = live.drop_duplicates("measure").set_index("measure")["kind"]
    assert kinds["covariance_cosine"] == "similarity" and kinds["euclidean"] == "distance"
    named = [tuple(name.removesuffix(".weight") for name in pair) for pair in
             ((fusion.names_of("key")[3], fusion.names_of("key")[5]),)]  # fmt: skip
    some = points.similarity_frame(matrices, pairs=named)
    rows = some[some["chosen"]]
    assert {*rows["module"]} == {"key"} and {*rows["row"]} == {3, 5}


def test_pairs_are_those_of_one_step_and_know_since_when(make: Any) -> None:
    records = [make.fused("none"), make.fused(METHOD), make.fused("LF mix (WS)")]
    first = points.similarities(records, method=METHOD, step=1)
    assert first.loc[first["chosen"], "step"].unique().tolist() == [1]
    last = points.similarities(records, method="LF mix (WS)")
    assert {*last["method"]} == {"LF mix (WS)"}
    counts = last[(last["row"] < last["column"]) & last["chosen"]].groupby(["measure", "step"])
    assert counts.size().unique().tolist() == [10]  # two a module at step 1, and two more at 2
    with pytest.raises(ValueError, match="'SVD' fused no pairs; there are those of: LF m"):
        points.similarities(records, method="SVD")
    with pytest.raises(ValueError, match=r"give that of the control \('none'\) as well"):
        points.similarities(records[1:])
    with pytest.raises(ValueError, match="several records of 'LF mean"):
        points.similarities([*records, make.fused(METHOD)])
    alone = points.similarities(records[:1])
    assert {*alone["method"]} == {"none"} and not alone["chosen"].any()
    assert "Outlined: 0 pairs." in plotting.alt_text("similarity_heatmap", alone)


def test_what_cannot_be_compared_is_said(data: pd.DataFrame) -> None:
    plot, frame = plotting.plot_similarity_heatmap, points.similarity_frame
    one = {("cosine", "x"): (["a"], np.ones((1, 1)))}
    two = {("cosine", "x"): (["a", "b"], np.full((2, 2), np.nan))}
    for call, message in (
        (lambda: plot(data, measure="cka"), "no measure 'cka'; there are: bures_wasserstein"),
        (lambda: plot(data, modules=["pooler"]), "no module pooler; there are: query, key"),
        (lambda: plot(data, seed=9), "no seed 9; there are: 0"),
        (lambda: plot(data, order="size"), "unknown order 'size'; choose one of layers, clus"),
        (lambda: plot(data, scale="log"), "unknown scale 'log'; choose one of shared, each"),
        (lambda: plot(pd.concat([data, data.assign(model="b")])), "several networks; name model="),
        (lambda: plot(frame(one)), "no type of module has two layers"),
        (lambda: plot(frame(two)), "every value is NaN"),
        (lambda: frame({}), "there are no matrices"),
        (lambda: frame({("cosine", "x"): (["a"], np.ones(3))}), r"shape \(3,\) for 1 names"),
        (lambda: frame(two, pairs=[("a", "c")]), "no layer c; there are: a, b"),
        (lambda: frame(two, pairs={"x": [(0, 2)]}), r"no pair \(0, 2\) in a, b"),
        (lambda: frame(two, pairs={"y": [(0, 1)]}), "pairs of y, of which there is no matrix"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_agreement_is_scipys_rank_correlation_of_closeness(data: pd.DataFrame) -> None:
    (ax,) = plotting.plot_measure_agreement(data, order="layers", width=1100)
    assert labels(ax.yaxis) == ["Bures-Wasserstein", "Euclidean", "Gaussian KL",
                                "cosine of covariances"]  # fmt: skip
    above = np.triu_indices(12, 1)
    found = []
    for module in fusion.MODULES:
        kl, cosine = (fusion.matrix(m, module) for m in ("gaussian_kl", "covariance_cosine"))
        both = (kl + kl.T)[above] / 2  # the divergence has two directions
        found.append(spearmanr(-both, cosine[above]).statistic)
    assert cells(ax)[2, 3] == pytest.approx(np.mean(found)) == cells(ax)[3, 2]
    assert cells(ax)[0, 1] == pytest.approx(1)  # one is a multiple of the other here
    shown = [text.get_text() for text in ax.texts]
    sd = f"{np.std(found, ddof=1):.2f}".lstrip("0")
    assert f"{np.mean(found):.2f}\n± {sd}".lstrip("0") in shown or np.mean(found) > 0.995


def test_measures_that_agree_stand_together() -> None:
    rng = np.random.default_rng(0)
    one, other = (np.triu(rng.random((9, 9)), 1) for _ in range(2))
    matrices = {}
    for name, values in {"a": one, "b": other, "a again": one**3, "b again": other**3}.items():
        matrices[name, "query"] = ([*map(str, range(9))], values + values.T)
    frame = points.similarity_frame(matrices)
    (ax,) = plotting.plot_measure_agreement(frame)
    order = labels(ax.yaxis)
    assert [name[0] for name in order] in (["a", "a", "b", "b"], ["b", "b", "a", "a"])
    assert "one group of layers" in ax.figure._supxlabel.get_text().replace("\n", " ")
    said = plotting.alt_text("measure_agreement", frame)
    assert "most alike rank a and a again 1.00" in said and "\N{PLUS-MINUS SIGN}" not in said


def test_agreement_needs_two_measures_of_the_same_layers(data: pd.DataFrame) -> None:
    one = data[data["measure"] == "euclidean"]
    with pytest.raises(ValueError, match="no two measures of the same layers.*: euclidean"):
        plotting.plot_measure_agreement(one)
    apart = data[(data["measure"] == "euclidean") | (data["module"] == "key")]
    apart = apart[(apart["measure"] != "euclidean") | (apart["module"] != "key")]
    assert len(plotting.plot_measure_agreement(apart)) == 1  # three measures of the keys
    with pytest.raises(ValueError, match="unknown order 'size'"):
        plotting.plot_measure_agreement(data, order="size")


def test_the_data_of_a_heatmap_are_those_of_its_measure(data: pd.DataFrame) -> None:
    shown = plotting.relevant("similarity_heatmap", data, measure="euclidean")
    assert {*shown["measure"]} == {"euclidean"}
    first = plotting.relevant("similarity_heatmap", data)
    assert {*first["measure"]} == {"bures_wasserstein"}
    assert len(plotting.relevant("measure_agreement", data)) == len(data)


def test_both_sides_of_a_fusion_have_one_order_and_one_scale() -> None:
    both = fusion.both_sides()
    for order in similarity_grids.ORDERS:
        left, right = plotting.plot_fusion_before_after(both, order=order)
        assert left.get_title(loc="left") == "the whole network"
        assert left.images[0].norm == right.images[0].norm and outlined(left) == outlined(right)
        left.figure.draw_without_rendering()
        assert labels(left.yaxis) == labels(right.yaxis)
        assert all(cells(right)[cell] == 0 for cell in outlined(right))
        assert all(cells(left)[cell] > 0 for cell in outlined(left))
        assert [text.get_text() for text in right.texts] == ["="] * 8 and not left.texts


def test_what_a_fusion_costs_is_written_below() -> None:
    both = fusion.both_sides()
    costs = {"stored_bytes": (91_000, 62_000), "accuracy": (0.81, 0.79)}
    axes = plotting.plot_fusion_before_after(both, module="key", costs=costs)
    note = axes[0].figure._supxlabel.get_text().replace("\n", " ")
    told = "stored bytes 91,000 to 62,000 (68%); accuracy 81.0% to 79.0%"
    assert note.startswith("key; outlined") and note.endswith(told)
    said = plotting.alt_text("fusion_before_after", both, module="key", costs=costs)
    assert "before and after 4 pairs were fused: 4 and 5 (2.28 before)" in said
    assert said.endswith(f"{told}.")


def test_both_sides_are_needed() -> None:
    both = fusion.both_sides()
    before, after = (both[both["when"] == when] for when in ("before", "after"))
    some = after[(after["row"] < 9) & (after["column"] < 9)]
    for frame, message in (
        (before, "nothing 'after' in the column 'when'"),
        (both.drop(columns="when"), "missing columns: when"),
        (pd.concat([before, after[after["module"] == "key"]]), "'query' has no bures.* 'after'"),
        (pd.concat([before, some]), "'query' are not the same before and after"),
    ):
        with pytest.raises(ValueError, match=message):
            plotting.plot_fusion_before_after(frame)
    with pytest.raises(ValueError, match="join two frames of points.similarity_frame"):
        plotting.gather("fusion_before_after", None, [])
