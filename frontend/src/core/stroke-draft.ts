/** The stroke draft: a stroke while the pointer is down, built from pointer samples. */
import type { Stroke, StrokePoint, StrokeTool } from "./document";
import type { DocumentPoint } from "./viewport";

export type PointerSample = {
  readonly point: DocumentPoint;
  /** 0 to 1 as the pen reports it; null for a mouse or a finger, which have none. */
  readonly pressure: number | null;
  readonly time_ms: number;
};

/** What a new stroke is made with. */
export type Ink = {
  readonly tool: StrokeTool;
  readonly colour: string;
  readonly width: number;
  readonly opacity: number;
};

export type StrokeDraft = {
  readonly id: string;
  readonly ink: Ink;
  readonly points: readonly StrokePoint[];
  readonly last_ms: number;
};

/** Samples nearer than this to the last point, in document units, only wait; chosen: a third of a pixel. */
const MIN_STEP = 0.35;
/** How far a point may lie from the line that replaces it; chosen so that the change at pen-up cannot be seen. */
const TOLERANCE = 0.18;
/** Pressure counts as this many document units in the simplification, so that a swelling line keeps its swell. */
const PRESSURE_UNITS = 4;
/** A line at this speed, in document units a millisecond, is drawn as thin as it gets. */
const FAST = 3;
/** How much of the way to the wanted pressure a sample goes; damps the jitter of mouse speeds. */
const PRESSURE_EASE = 0.22;

export function beginStroke(id: string, ink: Ink, sample: PointerSample): StrokeDraft {
  const pressure = sample.pressure ?? 0.5;
  return { id, ink, points: [strokePoint(sample.point, pressure)], last_ms: sample.time_ms };
}

/** Add samples in the order they were taken. */
export function extendStroke(draft: StrokeDraft, samples: readonly PointerSample[]): StrokeDraft {
  const points = [...draft.points];
  let last_ms = draft.last_ms;
  for (const sample of samples) {
    const previous = points.at(-1);
    if (previous === undefined) break;
    const step = Math.hypot(sample.point.x - previous.x, sample.point.y - previous.y);
    if (step < MIN_STEP) continue;
    const pressure =
      sample.pressure ?? speedPressure(previous.pressure, step, Math.max(sample.time_ms - last_ms, 1));
    points.push(strokePoint(sample.point, pressure));
    last_ms = sample.time_ms;
  }
  return { ...draft, points, last_ms };
}

/** Turn the draft into a stroke with the fewest points that look the same. */
export function finishStroke(draft: StrokeDraft): Stroke {
  return draftStroke({ ...draft, points: simplify(draft.points, TOLERANCE) });
}

/** Show the draft as a stroke, as it is. */
export function draftStroke(draft: StrokeDraft): Stroke {
  return { id: draft.id, ...draft.ink, points: draft.points };
}

/** Ramer–Douglas–Peucker over x, y and pressure; keeps both ends. Iterative: a stroke may have 10,000 points. */
export function simplify(points: readonly StrokePoint[], tolerance: number): readonly StrokePoint[] {
  if (points.length <= 2) return points;
  const kept = new Set<number>([0, points.length - 1]);
  const spans: [number, number][] = [[0, points.length - 1]];
  for (let span = spans.pop(); span !== undefined; span = spans.pop()) {
    const [from, to] = span;
    const far = farthest(points, from, to);
    if (far === null || far.distance <= tolerance) continue;
    kept.add(far.index);
    spans.push([from, far.index], [far.index, to]);
  }
  return points.filter((_, index) => kept.has(index));
}

function farthest(
  points: readonly StrokePoint[],
  from: number,
  to: number,
): { readonly index: number; readonly distance: number } | null {
  const start = points[from];
  const end = points[to];
  if (start === undefined || end === undefined || to - from < 2) return null;
  let best = { index: from + 1, distance: -1 };
  for (let index = from + 1; index < to; index += 1) {
    const point = points[index];
    if (point === undefined) continue;
    const away = distanceToSegment(point, start, end);
    if (away > best.distance) best = { index, distance: away };
  }
  return best;
}

function distanceToSegment(point: StrokePoint, start: StrokePoint, end: StrokePoint): number {
  const a = [end.x - start.x, end.y - start.y, (end.pressure - start.pressure) * PRESSURE_UNITS] as const;
  const b = [
    point.x - start.x,
    point.y - start.y,
    (point.pressure - start.pressure) * PRESSURE_UNITS,
  ] as const;
  const length = a[0] * a[0] + a[1] * a[1] + a[2] * a[2];
  const along =
    length === 0 ? 0 : Math.min(Math.max((a[0] * b[0] + a[1] * b[1] + a[2] * b[2]) / length, 0), 1);
  return Math.hypot(b[0] - along * a[0], b[1] - along * a[1], b[2] - along * a[2]);
}

function strokePoint(point: DocumentPoint, pressure: number): StrokePoint {
  return {
    x: round(point.x),
    y: round(point.y),
    pressure: round(Math.min(Math.max(pressure, 0), 1)),
  } as StrokePoint;
}

/** Hundredths are below what shows; short numbers keep a stored drawing small. */
function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** A slow mouse presses, a fast one hardly touches: the line of a pen, without a pen. */
function speedPressure(previous: number, step: number, elapsed_ms: number): number {
  const speed = Math.min(step / elapsed_ms / FAST, 1);
  const wanted = 0.72 - 0.5 * speed;
  return previous + (wanted - previous) * PRESSURE_EASE;
}
