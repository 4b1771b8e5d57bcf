"""The metric's Space: CCC of a table of predictions and references, in the browser."""

from pathlib import Path

import evaluate
import gradio as gr


# evaluate's own widget (launch_gradio_widget) needs Gradio 3, which cannot be installed beside today's datasets.
FOLDER = Path(__file__).resolve().parent
EXAMPLE = [[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]]

metric = evaluate.load(str(FOLDER / "ccc.py"))


def concordance(rows: list[list]) -> dict[str, float]:
    """CCC of a table's two columns, predictions and references; empty rows are left out."""
    rows = [row for row in rows if any(value not in (None, "") for value in row)]
    try:
        predictions, references = [float(row[0]) for row in rows], [float(row[1]) for row in rows]
        return metric.compute(predictions=predictions, references=references)
    except (TypeError, ValueError) as error:
        raise gr.Error(f"Give two numbers in each row. {error}") from error


def card() -> str:
    """The README without its front matter."""
    return (FOLDER / "README.md").read_text(encoding="utf-8").split("\n---\n", 1)[-1]


demo = gr.Interface(
    fn=concordance,
    inputs=gr.Dataframe(
        value=EXAMPLE, headers=["predictions", "references"], datatype="number", type="array", column_count=2
    ),
    outputs=gr.JSON(label="Result"),
    title="Lin's concordance correlation coefficient",
    article=card(),
)

if __name__ == "__main__":
    demo.launch()
