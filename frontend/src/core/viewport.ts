/**
 * The viewport: how the document lies on the screen.
 *
 * Screen points are CSS pixels from the top left corner of the canvas element; document points are the units
 * that strokes are kept in. Only this module turns one into the other.
 */
declare const space: unique symbol;

export type ScreenPoint = { readonly x: number; readonly y: number; readonly [space]: "screen" };
export type DocumentPoint = { readonly x: number; readonly y: number; readonly [space]: "document" };

export type Rect = {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
};
export type Extent = { readonly width: number; readonly height: number };

/** `screen = document × scale + offset`. */
export type Viewport = { readonly scale: number; readonly x: number; readonly y: number };

/** Chosen: below a quarter the drawing is a stamp, above sixteen a stroke is a wall. */
export const SCALE_RANGE = { min: 0.25, max: 16 } as const;

export function screenPoint(x: number, y: number): ScreenPoint {
  return { x, y } as ScreenPoint;
}

export function documentPoint(x: number, y: number): DocumentPoint {
  return { x, y } as DocumentPoint;
}

export function toDocument(viewport: Viewport, point: ScreenPoint): DocumentPoint {
  return documentPoint((point.x - viewport.x) / viewport.scale, (point.y - viewport.y) / viewport.scale);
}

export function toScreen(viewport: Viewport, point: DocumentPoint): ScreenPoint {
  return screenPoint(point.x * viewport.scale + viewport.x, point.y * viewport.scale + viewport.y);
}

/** Show all of `paper`, as large as it goes and centred, `margin` screen pixels from the edges of `view`. */
export function fitPaper(paper: Rect, view: Extent, margin = 0): Viewport {
  const scale = Math.max(
    Math.min((view.width - 2 * margin) / paper.width, (view.height - 2 * margin) / paper.height),
    SCALE_RANGE.min,
  );
  return {
    scale,
    x: view.width / 2 - (paper.x + paper.width / 2) * scale,
    y: view.height / 2 - (paper.y + paper.height / 2) * scale,
  };
}

/** Zoom by `factor`, within `SCALE_RANGE`; what lies under `anchor` stays there. */
export function zoomAbout(viewport: Viewport, anchor: ScreenPoint, factor: number): Viewport {
  const scale = Math.min(Math.max(viewport.scale * factor, SCALE_RANGE.min), SCALE_RANGE.max);
  const applied = scale / viewport.scale;
  return {
    scale,
    x: anchor.x - (anchor.x - viewport.x) * applied,
    y: anchor.y - (anchor.y - viewport.y) * applied,
  };
}

export function pan(viewport: Viewport, from: ScreenPoint, to: ScreenPoint): Viewport {
  return { ...viewport, x: viewport.x + to.x - from.x, y: viewport.y + to.y - from.y };
}

export type Pinch = readonly [ScreenPoint, ScreenPoint];

/** Follow two fingers: pan with their middle, zoom with their distance. */
export function pinch(viewport: Viewport, before: Pinch, after: Pinch): Viewport {
  const moved = pan(viewport, middle(before), middle(after));
  // Two fingers at one place have no distance to compare.
  const factor = distance(after) / Math.max(distance(before), 1);
  return zoomAbout(moved, middle(after), factor > 0 ? factor : 1);
}

/** Keep at least a corner of the paper in view, so that nobody loses the drawing by panning. */
export function keepInView(viewport: Viewport, paper: Rect, view: Extent): Viewport {
  const reach = Math.min(view.width, view.height) / 4;
  const left = paper.x * viewport.scale;
  const top = paper.y * viewport.scale;
  return {
    scale: viewport.scale,
    x: clamp(viewport.x, reach - left - paper.width * viewport.scale, view.width - reach - left),
    y: clamp(viewport.y, reach - top - paper.height * viewport.scale, view.height - reach - top),
  };
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

function middle([a, b]: Pinch): ScreenPoint {
  return screenPoint((a.x + b.x) / 2, (a.y + b.y) / 2);
}

function distance([a, b]: Pinch): number {
  return Math.hypot(a.x - b.x, a.y - b.y);
}
