/** Painting strokes: one outline, filled. */
import type { Stroke } from "../../core/document";
import { strokeOutline, traceOutline } from "../../core/outline";

type Context = CanvasRenderingContext2D;

/** Strokes never change, so a path is made once; replaying after an undo then only fills. */
const paths = new WeakMap<Stroke, Path2D>();

/** Paint a finished stroke on the ink layer; an eraser takes ink away. */
export function paintStroke(context: Context, stroke: Stroke): void {
  let path = paths.get(stroke);
  if (path === undefined) {
    path = outlinePath(stroke, true);
    paths.set(stroke, path);
  }
  context.globalCompositeOperation = stroke.tool === "eraser" ? "destination-out" : "source-over";
  fill(context, path, stroke.colour, stroke.tool === "eraser" ? 1 : stroke.opacity);
  context.globalCompositeOperation = "source-over";
}

/** Paint the stroke under the pen on the layer above the paper, where an eraser shows as paper. */
export function paintLiveStroke(context: Context, stroke: Stroke, paperColour: string): void {
  const eraser = stroke.tool === "eraser";
  fill(
    context,
    outlinePath(stroke, false),
    eraser ? paperColour : stroke.colour,
    eraser ? 1 : stroke.opacity,
  );
}

function outlinePath(stroke: Stroke, finished: boolean): Path2D {
  const path = new Path2D();
  traceOutline(strokeOutline(stroke, { finished }), path);
  return path;
}

function fill(context: Context, path: Path2D, colour: string, opacity: number): void {
  context.globalAlpha = opacity;
  context.fillStyle = colour;
  context.fill(path);
  context.globalAlpha = 1;
}
