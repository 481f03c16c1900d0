/** The drawing's state: document, history, tools and viewport, as signals. */
import { batch, computed, signal } from "@preact/signals";
import { contentHash } from "../../core/content-hash";
import {
  EMPTY_DOCUMENT,
  isEmpty,
  paperFor,
  type SketchDocument,
  type Stroke,
  type StrokeTool,
} from "../../core/document";
import { type History, perform, redo, startHistory, undo, withPaper } from "../../core/history";
import { startTools, type ToolState } from "../../core/pointer-tools";
import { type Preset, presetStrokes } from "../../core/sketch-json";
import type { Ink } from "../../core/stroke-draft";
import { type Extent, fitPaper, type Viewport } from "../../core/viewport";

export const WIDTH_RANGE = { min: 1, max: 80 } as const;

export type DrawingStore = ReturnType<typeof createDrawingStore>;

export function createDrawingStore() {
  const history = signal<History>(startHistory(EMPTY_DOCUMENT));
  const tools = signal<ToolState>(startTools({ scale: 1, x: 0, y: 0 }));
  const tool = signal<StrokeTool>("brush");
  const colour = signal("#2b2a28");
  const widths = signal<Readonly<Record<StrokeTool, number>>>({ brush: 6, eraser: 32 });
  /** The view follows the paper until the user zooms or pans. */
  const fitted = signal(true);
  let view: Extent = { width: 1, height: 1 };

  const document = computed<SketchDocument>(() => history.value.document);
  const ink = computed<Ink>(() => ({
    tool: tool.value,
    colour: colour.value,
    width: widths.value[tool.value],
    opacity: 1,
  }));

  function setViewport(viewport: Viewport): void {
    tools.value = { ...tools.peek(), viewport };
  }

  function showAll(): void {
    fitted.value = true;
    setViewport(fitPaper(document.peek().paper, view));
  }

  function replaceStrokes(after: readonly Stroke[]): void {
    history.value = perform(history.peek(), {
      type: "strokes.replace",
      before: document.peek().strokes,
      after,
    });
  }

  return {
    document,
    tools,
    tool,
    colour,
    ink,
    fitted,
    showAll,
    hash: computed(() => contentHash(document.value)),
    empty: computed(() => isEmpty(document.value)),
    canUndo: computed(() => history.value.done.length > 0),
    canRedo: computed(() => history.value.undone.length > 0),

    choose(next: StrokeTool): void {
      tool.value = next;
    },
    add(stroke: Stroke): void {
      history.value = perform(history.peek(), { type: "stroke.add", stroke });
    },
    undo(): void {
      history.value = undo(history.peek());
    },
    redo(): void {
      history.value = redo(history.peek());
    },
    clear(): void {
      if (document.peek().strokes.length > 0) replaceStrokes([]);
    },
    load(preset: Preset): void {
      replaceStrokes(presetStrokes(preset, () => crypto.randomUUID()));
    },
    /** Start from a kept drawing; there is nothing to undo before it. */
    restore(kept: SketchDocument): void {
      history.value = startHistory(kept);
      showAll();
    },
    setPaper(size: Extent): void {
      const before = document.peek().paper;
      const after = paperFor(size);
      if (before.width === after.width && before.height === after.height) return;
      batch(() => {
        history.value = withPaper(history.peek(), after);
        showAll();
      });
    },
    setWidth(width: number): void {
      const limited = Math.min(Math.max(Math.round(width), WIDTH_RANGE.min), WIDTH_RANGE.max);
      widths.value = { ...widths.peek(), [tool.peek()]: limited };
    },
    /** One notch thinner or thicker; notches grow with the width. */
    stepWidth(direction: 1 | -1): void {
      const width = widths.peek()[tool.peek()];
      this.setWidth(width + direction * Math.max(1, Math.round(width * 0.2)));
    },
    setColour(value: string): void {
      batch(() => {
        colour.value = value;
        tool.value = "brush";
      });
    },
    moveView(viewport: Viewport): void {
      fitted.value = false;
      setViewport(viewport);
    },
    resizeView(size: Extent): void {
      view = size;
      if (fitted.peek()) showAll();
    },
  };
}
