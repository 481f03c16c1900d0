/** The outline: the closed shape that a stroke fills. */
import { getStroke } from "perfect-freehand";
import type { Stroke } from "./document";

export type OutlinePoint = readonly [x: number, y: number];

/**
 * Trace a stroke's outline, in document units.
 *
 * `finished` is false while the pen is down: the end is then left open to the next point.
 */
export function strokeOutline(stroke: Stroke, { finished = true } = {}): readonly OutlinePoint[] {
  const eraser = stroke.tool === "eraser";
  const outline = getStroke([...stroke.points], {
    size: stroke.width,
    thinning: eraser ? 0 : 0.55,
    smoothing: 0.5,
    streamline: 0.3,
    // Pressure is decided when the stroke is drawn, so that every renderer sees the same one.
    simulatePressure: false,
    last: finished,
  });
  return outline.map(([x, y]) => [x ?? 0, y ?? 0]);
}

/** What the outline is drawn onto; a canvas context and a Path2D both fit. */
export type PathSink = {
  moveTo(x: number, y: number): void;
  quadraticCurveTo(cx: number, cy: number, x: number, y: number): void;
  closePath(): void;
};

/** Draw an outline as curves through the middles between its points. */
export function traceOutline(outline: readonly OutlinePoint[], sink: PathSink): void {
  const first = outline[0];
  const second = outline[1];
  if (first === undefined || second === undefined) return;
  sink.moveTo((first[0] + second[0]) / 2, (first[1] + second[1]) / 2);
  for (let index = 1; index <= outline.length; index += 1) {
    const control = outline[index % outline.length];
    const next = outline[(index + 1) % outline.length];
    if (control === undefined || next === undefined) continue;
    sink.quadraticCurveTo(control[0], control[1], (control[0] + next[0]) / 2, (control[1] + next[1]) / 2);
  }
  sink.closePath();
}
