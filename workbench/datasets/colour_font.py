"""Draw the glyphs of a colour font (OpenType COLR, version 1) as pixels. Imports matplotlib.

A glyph is a tree: outlines filled with colours or gradients, placed by transforms, one layer over
another. Outlines are read by fontTools and turned into coverage by the renderer of matplotlib; what
fills them is a few lines of NumPy. All that Noto Color Emoji uses is here; what it does not use
(sweep gradients, other blend modes, repeated gradients, variations) is refused.

References:
    OpenType specification 1.9.1, "COLR: Color Table". Porter and Duff, "Compositing digital
    images", SIGGRAPH 1984. W3C, "Compositing and blending level 1".
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fontTools.pens.basePen import BasePen
from fontTools.ttLib import TTFont, TTLibError
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.path import Path as Outline
from matplotlib.transforms import Affine2D

# A matrix (3, 3) takes points of the glyph, in units of the font, to pixels of the canvas.
_CLOSE = 1e-9


class ColourFont:
    """A font file with ``COLR`` and ``CPAL`` tables; its first palette is used.

    Raises:
        ValueError: it is no font, or has no colours of version 1.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._font = TTFont(io.BytesIO(path.read_bytes()), lazy=True)
            version = self._font["COLR"].version
        except (TTLibError, KeyError) as error:
            raise ValueError(f"{path} is not a colour font that can be read: {error}") from error
        if version != 1:
            raise ValueError(f"{path} has colours of version {version}; version 1 is read.")
        table = self._font["COLR"].table
        self._layers = table.LayerList.Paint if table.LayerList else []
        self._paints = {r.BaseGlyph: r.Paint for r in table.BaseGlyphList.BaseGlyphPaintRecord}
        palette = self._font["CPAL"].palettes[0]
        self._palette = np.array([(c.red, c.green, c.blue, c.alpha) for c in palette]) / 255
        self._outlines = self._font.getGlyphSet()
        self._characters = self._font.getBestCmap()

    def glyph(self, character: str) -> str:
        """The name of the glyph of a character; raises ValueError where it has no colours."""
        glyph = self._characters.get(ord(character))
        if glyph not in self._paints:
            raise ValueError(f"the font has no colours for {character!r} (U+{ord(character):X}).")
        return glyph

    def draw(self, glyph: str, side: int, *, finer: int = 2) -> np.ndarray:
        """The glyph in the middle of a white square as wide as it: (side, side, 3) uint8.

        Drawn ``finer`` times as large and averaged.
        """
        canvas = _Canvas(side * finer)
        width = self._outlines[glyph].width
        scale, header = canvas.side / width, self._font["hhea"]
        middle = (header.ascent + header.descent) / 2
        placed = np.array(
            [[scale, 0, 0], [0, -scale, scale * middle + canvas.side / 2], [0, 0, 1.0]]
        )
        drawn = self._paint(self._paints[glyph], placed, canvas)
        solid = np.broadcast_to(drawn, (canvas.side, canvas.side, 4))
        white = solid[..., :3] + 1 - solid[..., 3:]
        small = white.reshape(side, finer, side, finer, 3).mean((1, 3))
        return np.rint(small.clip(0, 1) * 255).astype(np.uint8)

    def _paint(self, paint: Any, matrix: np.ndarray, canvas: _Canvas) -> np.ndarray:
        """What a node of the tree draws: premultiplied RGBA, (side, side, 4) or (4,) if even."""
        kind = paint.getFormatName()
        child = getattr(paint, "Paint", None)
        if kind == "PaintColrLayers":
            drawn = np.zeros(4, np.float32)
            last = paint.FirstLayerIndex + paint.NumLayers
            for layer in self._layers[paint.FirstLayerIndex : last]:
                drawn = _over(self._paint(layer, matrix, canvas), drawn)
            return drawn
        if kind == "PaintGlyph":
            coverage = canvas.coverage(self._outlines[paint.Glyph], self._outlines, matrix)
            return coverage[..., None] * self._paint(child, matrix, canvas)
        if kind == "PaintColrGlyph":
            return self._paint(self._paints[paint.Glyph], matrix, canvas)
        if kind == "PaintSolid":
            return self._colour(paint)
        if kind in ("PaintLinearGradient", "PaintRadialGradient"):
            along, there = (_linear if kind == "PaintLinearGradient" else _radial)(
                paint, *canvas.points(matrix)
            )
            return self._shaded(paint.ColorLine, along) * there[..., None]
        if kind == "PaintComposite":
            source = self._paint(paint.SourcePaint, matrix, canvas)
            backdrop = self._paint(paint.BackdropPaint, matrix, canvas)
            mode = _MODES.get(paint.CompositeMode.name)
            if mode is None:
                raise ValueError(f"blend mode {paint.CompositeMode.name} is not drawn.")
            return mode(source, backdrop)
        if kind in _TRANSFORMS:
            return self._paint(child, matrix @ _TRANSFORMS[kind](paint), canvas)
        raise ValueError(f"{kind} is not drawn.")

    def _colour(self, stop: Any) -> np.ndarray:
        """(4,) premultiplied."""
        red, green, blue, alpha = self._palette[stop.PaletteIndex]
        alpha *= stop.Alpha
        return np.array([red * alpha, green * alpha, blue * alpha, alpha], np.float32)

    def _shaded(self, line: Any, along: np.ndarray) -> np.ndarray:
        """The colours of a gradient; before its first stop and behind its last they go on."""
        if line.Extend.name != "PAD":
            raise ValueError(f"gradients that {line.Extend.name.lower()} are not drawn.")
        stops = sorted(line.ColorStop, key=lambda stop: stop.StopOffset)
        offsets = [stop.StopOffset for stop in stops]
        colours = np.array([self._colour(stop) for stop in stops])
        shades = [np.interp(along, offsets, column) for column in colours.T]
        return np.stack(shades, -1).astype(np.float32)


class _Canvas:
    """A square of pixels on which outlines become coverage."""

    def __init__(self, side: int) -> None:
        self.side = side
        self._renderer = RendererAgg(side, side, 72)

    def points(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The middle of every pixel in units of the glyph: x and y, (side, side) each."""
        inverse = np.linalg.inv(matrix)
        middle = np.arange(self.side) + 0.5
        column, row = middle[None, :], middle[:, None]
        x, y = (inverse[i, 0] * column + inverse[i, 1] * row + inverse[i, 2] for i in (0, 1))
        return x, y

    def coverage(self, outline: Any, glyphs: Any, matrix: np.ndarray) -> np.ndarray:
        """Share of every pixel that lies inside (nonzero winding): (side, side) in [0, 1]."""
        pen = _Tracer(glyphs)
        outline.draw(pen)
        if not pen.codes:
            return np.zeros((self.side, self.side), np.float32)
        # The renderer counts rows from below.
        flip = np.array([[1, 0, 0], [0, -1, self.side], [0, 0, 1.0]])
        renderer = self._renderer
        renderer.clear()
        context = renderer.new_gc()
        context.set_linewidth(0)
        context.set_antialiased(True)
        renderer.draw_path(
            context, Outline(pen.vertices, pen.codes), Affine2D(flip @ matrix), rgbFace=(1, 1, 1, 1)
        )
        return np.asarray(renderer.buffer_rgba())[..., 3] / np.float32(255)


class _Tracer(BasePen):
    """Turns an outline into vertices and codes of ``matplotlib.path.Path``."""

    def __init__(self, glyphs: Any) -> None:
        super().__init__(glyphs)
        self.vertices: list[tuple[float, float]] = []
        self.codes: list[np.uint8] = []

    def _add(self, code: np.uint8, *points: tuple[float, float]) -> None:
        self.vertices += points
        self.codes += [code] * len(points)

    def _moveTo(self, point):
        self._add(Outline.MOVETO, point)

    def _lineTo(self, point):
        self._add(Outline.LINETO, point)

    def _qCurveToOne(self, control, point):
        self._add(Outline.CURVE3, control, point)

    def _curveToOne(self, first, second, point):
        self._add(Outline.CURVE4, first, second, point)

    def _closePath(self):
        self._add(Outline.CLOSEPOLY, (0.0, 0.0))


def _linear(paint: Any, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where on the colour line each point is, and whether it is painted.

    Colours change from p0 towards p1, and are the same along lines parallel to p0 p2.
    """
    normal = (paint.y0 - paint.y2, paint.x2 - paint.x0)  # at right angles to p0 p2
    reach = normal[0] * (paint.x1 - paint.x0) + normal[1] * (paint.y1 - paint.y0)
    if abs(reach) < _CLOSE:
        return np.zeros_like(x), np.zeros(x.shape, np.float32)
    along = (normal[0] * (x - paint.x0) + normal[1] * (y - paint.y0)) / reach
    return along, np.ones(x.shape, np.float32)


def _radial(paint: Any, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""The same between two circles.

    A point is at the largest t with :math:`|p - c(t)| = r(t) \ge 0`, for the circle with
    :math:`c(t) = c_0 + t (c_1 - c_0)` and :math:`r(t) = r_0 + t (r_1 - r_0)`.
    """
    (dx, dy), growth = (paint.x1 - paint.x0, paint.y1 - paint.y0), paint.r1 - paint.r0
    px, py = x - paint.x0, y - paint.y0
    a = dx * dx + dy * dy - growth * growth
    b = px * dx + py * dy + paint.r0 * growth
    c = px * px + py * py - paint.r0 * paint.r0
    with np.errstate(divide="ignore", invalid="ignore"):
        if abs(a) < _CLOSE:
            both = [c / (2 * b)]
        else:
            root = np.sqrt(b * b - a * c)
            both = [(b + root) / a, (b - root) / a]
    found = np.full(x.shape, -np.inf)
    for t in both:
        fits = np.isfinite(t) & (paint.r0 + t * growth >= 0)
        found = np.where(fits & (t > found), t, found)
    there = np.isfinite(found)
    return np.where(there, found, 0.0), there.astype(np.float32)


def _over(source: np.ndarray, backdrop: np.ndarray) -> np.ndarray:
    return source + backdrop * (1 - source[..., 3:])


def _inside(source: np.ndarray, backdrop: np.ndarray) -> np.ndarray:
    return source * backdrop[..., 3:]


def _soft_light(source: np.ndarray, backdrop: np.ndarray) -> np.ndarray:
    """Both (..., 4) premultiplied; the blend itself is of plain colours."""
    cover, below = source[..., 3:], backdrop[..., 3:]
    s = source[..., :3] / np.maximum(cover, _CLOSE)
    b = backdrop[..., :3] / np.maximum(below, _CLOSE)
    deep = np.where(b <= 0.25, ((16 * b - 12) * b + 4) * b, np.sqrt(b))
    blended = np.where(s <= 0.5, b - (1 - 2 * s) * b * (1 - b), b + (2 * s - 1) * (deep - b))
    colour = (1 - below) * source[..., :3] + (1 - cover) * backdrop[..., :3]
    colour = colour + cover * below * blended
    return np.concatenate([colour, cover + below * (1 - cover)], -1)


_MODES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "SRC_OVER": _over,
    "SRC_IN": _inside,
    "SOFT_LIGHT": _soft_light,
}


def _moved(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def _affine(paint: Any) -> np.ndarray:
    t = paint.Transform
    return np.array([[t.xx, t.xy, t.dx], [t.yx, t.yy, t.dy], [0, 0, 1.0]])


def _scaled(paint: Any) -> np.ndarray:
    return np.diag([paint.scaleX, paint.scaleY, 1.0])


def _turned(paint: Any) -> np.ndarray:
    cosine, sine = math.cos(math.radians(paint.angle)), math.sin(math.radians(paint.angle))
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])


def _around(inner: Callable[[Any], np.ndarray]) -> Callable[[Any], np.ndarray]:
    def matrix(paint: Any) -> np.ndarray:
        x, y = paint.centerX, paint.centerY
        return _moved(x, y) @ inner(paint) @ _moved(-x, -y)

    return matrix


_TRANSFORMS: dict[str, Callable[[Any], np.ndarray]] = {
    "PaintTransform": _affine,
    "PaintTranslate": lambda paint: _moved(paint.dx, paint.dy),
    "PaintScale": _scaled,
    "PaintScaleAroundCenter": _around(_scaled),
    "PaintRotate": _turned,
    "PaintRotateAroundCenter": _around(_turned),
}
