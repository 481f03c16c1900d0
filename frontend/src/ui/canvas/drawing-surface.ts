/**
 * The drawing surface: paper, ink and the stroke under the pen, on two canvases.
 *
 * The lower one shows the committed ink and is painted when the document or the viewport changes; the upper one
 * holds only the live stroke and the brush's ring, so that a moving pen never waits for 5,000 strokes.
 */
import { effect } from "@preact/signals";
import { currentDraft, handlePointer, type PointerInput } from "../../core/pointer-tools";
import { draftStroke } from "../../core/stroke-draft";
import { type Extent, keepInView, type ScreenPoint, type Viewport, zoomAbout } from "../../core/viewport";
import type { DrawingStore } from "../state/drawing-store";
import { context2d, InkLayer } from "./ink-layer";
import { paintLiveStroke } from "./paint-stroke";
import { PointerSource } from "./pointer-source";

const PAPER = "#ffffff";
/** Chosen: sharper than twice cannot be seen and costs four times the pixels on a phone. */
const PIXEL_RATIO_MAX = 2;
/** How long after a zoom the ink is painted again in the new sharpness. */
const SHARPEN_AFTER_MS = 180;

export class DrawingSurface {
  private readonly ink = new InkLayer();
  private readonly paperContext: CanvasRenderingContext2D;
  private readonly liveContext: CanvasRenderingContext2D;
  private readonly observer: ResizeObserver;
  private readonly pointers: PointerSource;
  private readonly stopEffect: () => void;
  private ratio = 1;
  private frame: number | null = null;
  private sharpenTimer: number | null = null;
  private paperDirty = true;
  private ring: ScreenPoint | null = null;

  constructor(
    private readonly paperCanvas: HTMLCanvasElement,
    private readonly liveCanvas: HTMLCanvasElement,
    private readonly store: DrawingStore,
  ) {
    this.paperContext = context2d(paperCanvas);
    this.liveContext = context2d(liveCanvas, { desynchronized: true });
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(liveCanvas);
    this.pointers = new PointerSource(liveCanvas, {
      ink: () => this.store.ink.value,
      onInput: (input) => this.take(input),
      onHover: (point) => this.hover(point),
      onZoom: (anchor, factor) => this.moveTo(zoomAbout(this.store.tools.peek().viewport, anchor, factor)),
    });
    this.stopEffect = effect(() => {
      // Whatever of this changes, the paper is painted again.
      void this.store.document.value;
      void this.store.tools.value.viewport;
      void this.store.ink.value;
      this.paperDirty = true;
      this.schedule();
    });
    this.resize();
  }

  dispose(): void {
    this.stopEffect();
    this.observer.disconnect();
    this.pointers.dispose();
    if (this.frame !== null) cancelAnimationFrame(this.frame);
    if (this.sharpenTimer !== null) clearTimeout(this.sharpenTimer);
    this.ink.dispose();
  }

  private take(input: PointerInput): void {
    const before = this.store.tools.peek();
    const { state, stroke } = handlePointer(before, input);
    if (state.viewport !== before.viewport) this.moveTo(state.viewport);
    this.store.tools.value = { ...state, viewport: this.store.tools.peek().viewport };
    if (stroke !== null) this.store.add(stroke);
    this.schedule();
  }

  private moveTo(viewport: Viewport): void {
    const kept = keepInView(viewport, this.store.document.peek().paper, this.view());
    this.store.moveView(kept);
    if (this.sharpenTimer !== null) clearTimeout(this.sharpenTimer);
    this.sharpenTimer = window.setTimeout(() => {
      this.sharpenTimer = null;
      this.sharpen();
    }, SHARPEN_AFTER_MS);
  }

  private hover(point: ScreenPoint | null): void {
    this.ring = point;
    this.schedule();
  }

  private resize(): void {
    const { width, height } = this.view();
    if (width === 0 || height === 0) return;
    this.ratio = Math.min(window.devicePixelRatio, PIXEL_RATIO_MAX);
    for (const canvas of [this.paperCanvas, this.liveCanvas]) {
      canvas.width = Math.round(width * this.ratio);
      canvas.height = Math.round(height * this.ratio);
    }
    this.store.resizeView({ width, height });
    this.sharpen();
    // At once: an emptied canvas would flash until the next frame.
    this.paint();
  }

  /** Choose the ink's resolution for the present zoom, in steps so that small zooms change nothing. */
  private sharpen(): void {
    const { viewport } = this.store.tools.peek();
    const step = 2 ** Math.ceil(Math.log2(Math.max(viewport.scale * this.ratio, 0.5)) * 2 - 0.01);
    if (this.ink.setFrame(this.store.document.peek().paper, Math.sqrt(step))) {
      this.paperDirty = true;
      this.schedule();
    }
  }

  private schedule(): void {
    this.frame ??= requestAnimationFrame(() => this.paint());
  }

  private paint(): void {
    if (this.frame !== null) cancelAnimationFrame(this.frame);
    this.frame = null;
    if (this.paperDirty) this.paintPaper();
    this.paintLive();
  }

  private paintPaper(): void {
    this.paperDirty = false;
    const { paper, strokes } = this.store.document.peek();
    const { viewport } = this.store.tools.peek();
    this.ink.setFrame(paper, this.ink.scale);
    this.ink.show(strokes);
    const context = this.paperContext;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.paperCanvas.width, this.paperCanvas.height);
    this.aim(context, viewport);
    context.fillStyle = PAPER;
    context.fillRect(paper.x, paper.y, paper.width, paper.height);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.ink.bitmap, paper.x, paper.y, paper.width, paper.height);
  }

  private paintLive(): void {
    const context = this.liveContext;
    const state = this.store.tools.peek();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.liveCanvas.width, this.liveCanvas.height);
    const draft = currentDraft(state);
    if (draft !== null) {
      const { paper } = this.store.document.peek();
      context.save();
      this.aim(context, state.viewport);
      context.beginPath();
      context.rect(paper.x, paper.y, paper.width, paper.height);
      context.clip();
      paintLiveStroke(context, draftStroke(draft), PAPER);
      context.restore();
    }
    this.paintRing(context, state.viewport);
  }

  /** The brush's size at the pointer: dark within light, so that it shows on any ink. */
  private paintRing(context: CanvasRenderingContext2D, viewport: Viewport): void {
    const radius = (this.store.ink.peek().width * viewport.scale) / 2;
    if (this.ring === null || radius < 3) return;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    for (const [width, colour] of [
      [2.5, "rgb(255 255 255 / 0.7)"],
      [1, "rgb(30 28 24 / 0.75)"],
    ] as const) {
      context.beginPath();
      context.arc(this.ring.x, this.ring.y, radius, 0, 2 * Math.PI);
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.stroke();
    }
  }

  private aim(context: CanvasRenderingContext2D, { scale, x, y }: Viewport): void {
    const { ratio } = this;
    context.setTransform(scale * ratio, 0, 0, scale * ratio, x * ratio, y * ratio);
  }

  private view(): Extent {
    return { width: this.liveCanvas.clientWidth, height: this.liveCanvas.clientHeight };
  }
}
