/** The drawing: paper, and ways to begin while it is empty. */
import { Maximize } from "lucide";
import { useEffect, useRef } from "preact/hooks";
import { DrawingSurface } from "../canvas/drawing-surface";
import { useStudio } from "../studio";
import { Icon } from "./icon";
import { PresetPicker } from "./presets";

export function DrawingPane() {
  const { drawing, generation } = useStudio();
  const paper = useRef<HTMLCanvasElement>(null);
  const live = useRef<HTMLCanvasElement>(null);

  useEffect(() => {
    if (paper.current === null || live.current === null) return;
    const surface = new DrawingSurface(paper.current, live.current, drawing);
    return () => surface.dispose();
  }, [drawing]);

  const untouched =
    drawing.document.value.strokes.length === 0 && drawing.tools.value.pointer.type === "idle";
  const count = drawing.document.value.strokes.length;
  return (
    <section class="pane drawing-pane" aria-label="Drawing">
      <canvas class="pane-layer" ref={paper} />
      <canvas
        class="pane-layer drawing-live"
        ref={live}
        data-testid="drawing"
        role="img"
        aria-label={
          count === 0 ? "Empty paper" : `Drawing with ${count} ${count === 1 ? "stroke" : "strokes"}`
        }
        tabIndex={0}
        data-tool={drawing.tool.value}
      />
      {untouched && (
        <div class="blank" data-alert={generation.explainEmpty.value}>
          <p class="blank-title" role={generation.explainEmpty.value ? "alert" : undefined}>
            {generation.explainEmpty.value
              ? "There is nothing to send yet. Draw something first"
              : "Draw something here"}
          </p>
          <p class="blank-text">or begin with one of these</p>
          <PresetPicker />
        </div>
      )}
      {!drawing.fitted.value && (
        <button
          type="button"
          class="chip zoom-chip"
          onClick={() => drawing.showAll()}
          title="Show the whole paper (0)"
        >
          <Icon node={Maximize} size={16} />
          {Math.round(drawing.tools.value.viewport.scale * 100)} %
        </button>
      )}
    </section>
  );
}
