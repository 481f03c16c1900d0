/** The undo history: a document and the operations that lead back and forth from it. */
import type { SketchDocument } from "./document";
import { applyOperation, inverse, type Operation } from "./operations";
import type { Rect } from "./viewport";

export type History = {
  readonly document: SketchDocument;
  /** Done and can be undone, oldest first. */
  readonly done: readonly Operation[];
  /** Undone and can be redone, the next one last. */
  readonly undone: readonly Operation[];
};

/** Chosen: operations share their strokes with the document, so a step costs a few words of memory. */
export const UNDO_STEPS = 1000;

export function startHistory(document: SketchDocument): History {
  return { document, done: [], undone: [] };
}

export function perform(history: History, operation: Operation): History {
  return {
    document: applyOperation(history.document, operation),
    done: [...history.done, operation].slice(-UNDO_STEPS),
    undone: [],
  };
}

/** Undo the last operation; without one, return the same history. */
export function undo(history: History): History {
  const last = history.done.at(-1);
  if (last === undefined) return history;
  return {
    document: applyOperation(history.document, inverse(last)),
    done: history.done.slice(0, -1),
    undone: [...history.undone, last],
  };
}

/** Redo what was undone last; without anything, return the same history. */
export function redo(history: History): History {
  const next = history.undone.at(-1);
  if (next === undefined) return history;
  return {
    document: applyOperation(history.document, next),
    done: [...history.done, next],
    undone: history.undone.slice(0, -1),
  };
}

/** Lay the drawing on other paper. The size is a setting, not a step to undo. */
export function withPaper(history: History, paper: Rect): History {
  return { ...history, document: { ...history.document, paper } };
}
