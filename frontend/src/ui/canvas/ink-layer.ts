/**
 * The ink layer: the committed strokes as a bitmap, kept up to date with as little painting as possible.
 *
 * A new stroke is painted onto what is there. Undo goes back to the nearest checkpoint, a copy of the bitmap, and
 * paints from there; with 5,000 strokes that is at most `CHECKPOINT_EVERY` strokes and not 5,000.
 */
import type { Stroke } from "../../core/document";
import type { Rect } from "../../core/viewport";
import { paintStroke } from "./paint-stroke";

/** Chosen: replaying this many strokes takes about 3 ms. */
const CHECKPOINT_EVERY = 64;
/** Chosen: 128 MB at 4 bytes a pixel, whatever the bitmap's size. */
const CHECKPOINT_PIXELS = 32 * 1024 * 1024;
const CHECKPOINTS_MAX = 5;
/** Larger bitmaps are refused by some phones. */
const SIDE_MAX = 4096;

type Checkpoint = { readonly count: number; readonly bitmap: HTMLCanvasElement };

export class InkLayer {
  readonly bitmap = document.createElement("canvas");
  private readonly context = context2d(this.bitmap);
  private painted: readonly Stroke[] = [];
  private checkpoints: Checkpoint[] = [];
  private paper: Rect = { x: 0, y: 0, width: 1, height: 1 };
  private frameScale = 1;

  /** Bitmap pixels a document unit. */
  get scale(): number {
    return this.frameScale;
  }

  /** Paint on `paper` with `scale` bitmap pixels a document unit; true if that starts over. */
  setFrame(paper: Rect, scale: number): boolean {
    const limited = Math.min(scale, SIDE_MAX / Math.max(paper.width, paper.height));
    if (sameRect(paper, this.paper) && limited === this.frameScale) return false;
    this.paper = paper;
    this.frameScale = limited;
    this.bitmap.width = Math.ceil(paper.width * limited);
    this.bitmap.height = Math.ceil(paper.height * limited);
    this.painted = [];
    this.checkpoints = [];
    return true;
  }

  /** Make the bitmap show `strokes`; true if anything changed. */
  show(strokes: readonly Stroke[]): boolean {
    if (strokes === this.painted) return false;
    const common = commonLength(this.painted, strokes);
    if (common < this.painted.length) this.rewind(common);
    const from = Math.min(this.painted.length, common);
    this.aim();
    for (let index = from; index < strokes.length; index += 1) {
      const stroke = strokes[index];
      if (stroke !== undefined) paintStroke(this.context, stroke);
      const count = index + 1;
      // Only the last few are kept, so earlier ones need not be made on a long replay.
      const kept = strokes.length - count < CHECKPOINT_EVERY * this.checkpointLimit();
      if (count % CHECKPOINT_EVERY === 0 && kept) this.keepCheckpoint(count);
    }
    this.painted = strokes;
    return true;
  }

  dispose(): void {
    // Safari frees a canvas' memory only when it has no size.
    for (const canvas of [this.bitmap, ...this.checkpoints.map((each) => each.bitmap)]) canvas.width = 0;
    this.checkpoints = [];
    this.painted = [];
  }

  private rewind(count: number): void {
    while ((this.checkpoints.at(-1)?.count ?? 0) > count) this.checkpoints.pop();
    const checkpoint = this.checkpoints.at(-1);
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.clearRect(0, 0, this.bitmap.width, this.bitmap.height);
    if (checkpoint !== undefined) this.context.drawImage(checkpoint.bitmap, 0, 0);
    this.painted = this.painted.slice(0, checkpoint?.count ?? 0);
  }

  private keepCheckpoint(count: number): void {
    if (this.checkpoints.some((each) => each.count === count)) return;
    const reused =
      this.checkpoints.length >= this.checkpointLimit() ? this.checkpoints.shift()?.bitmap : undefined;
    const bitmap = reused ?? document.createElement("canvas");
    // Setting the size also clears it.
    bitmap.width = this.bitmap.width;
    bitmap.height = this.bitmap.height;
    context2d(bitmap).drawImage(this.bitmap, 0, 0);
    this.checkpoints.push({ count, bitmap });
  }

  private checkpointLimit(): number {
    const pixels = Math.max(this.bitmap.width * this.bitmap.height, 1);
    return Math.max(1, Math.min(CHECKPOINTS_MAX, Math.floor(CHECKPOINT_PIXELS / pixels)));
  }

  private aim(): void {
    const { frameScale: scale, paper } = this;
    this.context.setTransform(scale, 0, 0, scale, -paper.x * scale, -paper.y * scale);
  }
}

export function context2d(
  canvas: HTMLCanvasElement,
  options?: CanvasRenderingContext2DSettings,
): CanvasRenderingContext2D {
  const context = canvas.getContext("2d", options);
  if (context === null) throw new Error("This browser cannot draw on a canvas.");
  return context;
}

function commonLength(a: readonly Stroke[], b: readonly Stroke[]): number {
  const length = Math.min(a.length, b.length);
  let index = 0;
  while (index < length && a[index] === b[index]) index += 1;
  return index;
}

function sameRect(a: Rect, b: Rect): boolean {
  return a.x === b.x && a.y === b.y && a.width === b.width && a.height === b.height;
}
