"""What makes a notebook a lesson: the code beside an equation, questions asked before the answer,
and exercises that check themselves. None of it imports what it shows."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ipywidgets as w
from traitlets import Enum, HasTraits, Int, Unicode

from widgets.callbacks import Messages, guard
from widgets.text import Markup, escape, markup, show


def source(target: str) -> str:
    """The source of ``package.module:name`` (or ``name.method``) as text, without importing it.

    Raises ``ValueError`` for a module or a name that does not exist.
    """
    module, _, path = target.partition(":")
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"There is no module {module!r}.")
    text = Path(spec.origin).read_text("utf-8")
    body: Sequence[ast.stmt] = ast.parse(text).body
    found: ast.FunctionDef | ast.ClassDef | None = None
    for name in path.split("."):
        named = (
            n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == name
        )
        found = next(named, None)
        if found is None:
            raise ValueError(f"{module} defines no {path!r}.")
        body = found.body
    if found is None:
        raise ValueError(f"{target!r} names no function; write {module}:name.")
    return textwrap.dedent(ast.get_source_segment(text, found, padded=True) or "")


def without_docstring(code: str) -> str:
    """The code of one function or class without its docstring, for showing beside prose."""
    node = ast.parse(code).body[0]
    first = node.body[0]  # type: ignore[attr-defined]
    if not (isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)):
        return code
    lines = code.splitlines()
    return "\n".join(lines[: first.lineno - 1] + lines[first.end_lineno :])


class SourceCard(w.VBox):
    """A function of the package, folded out beside its equation; the docstring one click away."""

    def __init__(self, target: str) -> None:
        code = source(target)
        self.target, self.code = target, code
        name = markup("<p>The code: <code>{}</code></p>", target.replace(":", "."))
        body = markup('<pre class="wb-code" tabindex="0">{}</pre>', without_docstring(code))
        self.whole = w.ToggleButton(
            value=False, description="Documentation", tooltip=f"Documentation of {target}"
        )
        self.view = show(body)
        super().__init__([show(name), self.view, self.whole])
        self.whole.observe(self._draw, "value")
        self.add_class("wb-card")

    def _draw(self, change: object) -> None:
        code = self.code if self.whole.value else without_docstring(self.code)
        self.view.value = markup('<pre class="wb-code" tabindex="0">{}</pre>', code)


class Question(w.VBox):
    """A question to answer before running: the explanation shows only after a choice.

    ``right`` is the index of the choice that the explanation supports.
    """

    def __init__(self, text: str, choices: Sequence[str], right: int, why: str) -> None:
        if not 0 <= right < len(choices):
            raise ValueError(f"right = {right} is not an index of {len(choices)} choices.")
        self.right, self.why = right, why
        self.choices = w.RadioButtons(
            options=list(enumerate_names(choices)), value=None, layout=w.Layout(width="auto")
        )
        self.answer = show(markup('<p role="status">Choose before you look.</p>'))
        title = show(markup("<p><strong>Predict.</strong> {}</p>", text))
        super().__init__([title, self.choices, self.answer])
        self.choices.observe(self._draw, "value")
        self.add_class("wb-card")

    def _draw(self, change: object) -> None:
        verdict = "Yes." if self.choices.value == self.right else "Look again."
        self.answer.value = markup('<p role="status"><b>{}</b> {}</p>', verdict, self.why)


def enumerate_names(choices: Sequence[str]) -> list[tuple[str, int]]:
    """Options of a menu: (text, index)."""
    return [(text, index) for index, text in enumerate(choices)]


class ExerciseState(HasTraits):
    """Where a reader stands with an exercise."""

    status = Enum(("open", "wrong", "right"), default_value="open")
    hint = Unicode("")
    tries = Int(0)


class Exercise(w.VBox):
    """An exercise that checks itself.

    ``check(answer)`` returns a hint, or an empty text when the answer is right. An answer of
    ``None`` (the cell as it came) is not judged. Errors of the reader's own function are the hint.
    """

    def __init__(self, title: str, task: str, check: Callable[[Any], str]) -> None:
        self.state, self.check = ExerciseState(), check
        self.messages = Messages()
        self.verdict = show(Markup(""))
        text = markup("<p><strong>{}</strong> {}</p>", title, task)
        super().__init__([show(text), self.verdict, self.messages])
        self.state.observe(guard(self._draw, self.messages.state), ["status", "hint", "tries"])
        self.add_class("wb-card")
        self._draw()

    def judge(self, answer: Any) -> Exercise:
        """Check ``answer`` and show the verdict."""
        if answer is None:
            self.state.status, self.state.hint = "open", ""
            return self
        try:
            hint = self.check(answer)
        except Exception as error:
            where = inspect.trace()[-1].lineno
            hint = f"{type(error).__name__} in line {where}: {error}"
        self.state.hint = hint
        self.state.status = "wrong" if hint else "right"
        self.state.tries += 1
        return self

    def _draw(self, change: object = None) -> None:
        said = {
            "open": "Not answered yet: open the notebook in JupyterLab and fill the cell below.",
            "wrong": self.state.hint,
            "right": "Right.",
        }[self.state.status]
        self.verdict.value = markup('<p role="status">{}</p>', escape(said))
