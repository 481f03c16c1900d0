/**
 * Sketches as plain data: the presets' JSON, and the form in which a drawing is kept on the device.
 *
 * Preset: `{"id","name","prompt","width","height","strokes":[{"color","width","points":[[x,y,pressure],…]}]}`.
 */
import { paperFor, type SketchDocument, type Stroke, type StrokePoint } from "./document";

export type Preset = {
  readonly id: string;
  readonly name: string;
  readonly prompt: string;
  readonly width: number;
  readonly height: number;
  readonly strokes: readonly {
    readonly color: string;
    readonly width: number;
    readonly points: readonly number[][];
  }[];
};

/** Give the preset's strokes ids of their own, so that loading it twice makes two sets of strokes. */
export function presetStrokes(preset: Preset, newId: () => string): readonly Stroke[] {
  return preset.strokes.map((stroke) => ({
    id: newId(),
    tool: "brush",
    colour: stroke.color,
    width: stroke.width,
    opacity: 1,
    points: stroke.points.map(toPoint),
  }));
}

/** A stroke as the browser's database takes it; points as x, y, pressure, x, … in one block of memory. */
type StoredStroke = Omit<Stroke, "points"> & { readonly points: Float64Array };
type StoredDocument = {
  readonly version: 1;
  readonly paper: SketchDocument["paper"];
  readonly strokes: readonly StoredStroke[];
};

/** Strokes never change: each is turned into numbers once, so that saving 5,000 takes a few milliseconds. */
const stored = new WeakMap<Stroke, StoredStroke>();

export function storeDocument(document: SketchDocument): StoredDocument {
  return { version: 1, paper: document.paper, strokes: document.strokes.map(storeStroke) };
}

/** Read what `storeDocument` wrote; null for anything else, however it came to be there. */
export function restoreDocument(kept: unknown): SketchDocument | null {
  if (!isRecord(kept) || kept.version !== 1) return null;
  const paper = kept.paper;
  if (!isRecord(paper) || !isPositive(paper.width) || !isPositive(paper.height)) return null;
  if (!Array.isArray(kept.strokes)) return null;
  const strokes: Stroke[] = [];
  for (const entry of kept.strokes) {
    const stroke = readStroke(entry);
    if (stroke === null) return null;
    strokes.push(stroke);
  }
  return { paper: paperFor({ width: paper.width, height: paper.height }), strokes };
}

function storeStroke(stroke: Stroke): StoredStroke {
  const found = stored.get(stroke);
  if (found !== undefined) return found;
  const numbers = stroke.points.flatMap((point) => [point.x, point.y, point.pressure]);
  const made = { ...stroke, points: Float64Array.from(numbers) };
  stored.set(stroke, made);
  return made;
}

function readStroke(entry: unknown): Stroke | null {
  if (!isRecord(entry)) return null;
  const { id, tool, colour, width, opacity, points } = entry;
  if (typeof id !== "string" || (tool !== "brush" && tool !== "eraser")) return null;
  if (typeof colour !== "string" || !/^#[0-9a-f]{6}$/i.test(colour)) return null;
  if (!isPositive(width) || !isPositive(opacity) || opacity > 1) return null;
  if (!(points instanceof Float64Array) || points.length % 3 !== 0 || !points.every(Number.isFinite))
    return null;
  const triples = Array.from({ length: points.length / 3 }, (_, index) =>
    points.subarray(3 * index, 3 * index + 3),
  );
  return { id, tool, colour, width, opacity, points: triples.map(toPoint) };
}

function toPoint([x = 0, y = 0, pressure = 0.5]: Iterable<number>): StrokePoint {
  return { x, y, pressure } as StrokePoint;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function isPositive(value: unknown): value is number {
  return isNumber(value) && value > 0;
}
