/**
 * The document: what is drawn, as strokes in the order they were made.
 *
 * Strokes are the document; pixels are only ever made from them.
 */
import type { DocumentPoint, Extent, Rect } from "./viewport";

export type StrokePoint = DocumentPoint & { /** 0 to 1 */ readonly pressure: number };

export type StrokeTool = "brush" | "eraser";

export type Stroke = {
  readonly id: string;
  readonly tool: StrokeTool;
  /** `#rrggbb`; an eraser's colour means nothing. */
  readonly colour: string;
  /** Diameter in document units at pressure 0.5. */
  readonly width: number;
  /** 0 to 1 */
  readonly opacity: number;
  readonly points: readonly StrokePoint[];
};

export type SketchDocument = {
  /** The part of the plane that becomes the sketch; strokes may reach beyond it. */
  readonly paper: Rect;
  readonly strokes: readonly Stroke[];
};

/** Side of square paper, in document units. Equal to the presets' size, so that they load unscaled. */
export const PAPER_SIDE = 512;

/**
 * Cut paper for an image of the given size.
 *
 * The short side is always `PAPER_SIDE` and the middle never moves: another shape adds room around a square
 * drawing and takes nothing away.
 */
export function paperFor(size: Extent): Rect {
  const unit = PAPER_SIDE / Math.min(size.width, size.height);
  const width = size.width * unit;
  const height = size.height * unit;
  return { x: (PAPER_SIDE - width) / 2, y: (PAPER_SIDE - height) / 2, width, height };
}

export const EMPTY_DOCUMENT: SketchDocument = {
  paper: paperFor({ width: PAPER_SIDE, height: PAPER_SIDE }),
  strokes: [],
};

/** True when nothing on the paper could show: no brush stroke since the last clear. */
export function isEmpty(document: SketchDocument): boolean {
  return !document.strokes.some((stroke) => stroke.tool === "brush" && stroke.points.length > 0);
}
