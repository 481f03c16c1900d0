/**
 * The pointer tools: what pointers on the canvas do, as states.
 *
 * idle → drawing | panning → idle, and drawing | panning → pinching when a second finger lands (the stroke that the
 * first one began is dropped). Once a pen was seen, fingers only move the paper: a resting hand never draws.
 */
import type { Stroke } from "./document";
import { unreachable } from "./never";
import { beginStroke, extendStroke, finishStroke, type Ink, type StrokeDraft } from "./stroke-draft";
import { type Pinch, pan, pinch, type ScreenPoint, toDocument, type Viewport } from "./viewport";

export type PointerKind = "mouse" | "pen" | "touch";

export type PointerState =
  | { readonly type: "idle" }
  | {
      readonly type: "drawing";
      readonly pointer: number;
      readonly kind: PointerKind;
      readonly at: ScreenPoint;
      readonly draft: StrokeDraft;
    }
  | {
      readonly type: "panning";
      readonly pointer: number;
      readonly kind: PointerKind;
      readonly at: ScreenPoint;
    }
  | { readonly type: "pinching"; readonly pointers: readonly [number, number]; readonly at: Pinch };

export type ToolState = {
  readonly pointer: PointerState;
  readonly viewport: Viewport;
  readonly penSeen: boolean;
};

export type Sample = { readonly at: ScreenPoint; readonly pressure: number; readonly time_ms: number };

export type PointerInput =
  | {
      readonly type: "down";
      readonly pointer: number;
      readonly kind: PointerKind;
      readonly sample: Sample;
      readonly intent: "draw" | "pan";
      readonly id: string;
      readonly ink: Ink;
    }
  /** `samples` holds every coalesced one, oldest first. */
  | { readonly type: "move"; readonly pointer: number; readonly samples: readonly Sample[] }
  | { readonly type: "up"; readonly pointer: number }
  | { readonly type: "cancel"; readonly pointer: number };

export type ToolResult = {
  readonly state: ToolState;
  /** A stroke that this input finished. */
  readonly stroke: Stroke | null;
};

const IDLE: PointerState = { type: "idle" };

export function startTools(viewport: Viewport): ToolState {
  return { pointer: IDLE, viewport, penSeen: false };
}

export function handlePointer(state: ToolState, input: PointerInput): ToolResult {
  switch (input.type) {
    case "down":
      return { state: pointerDown(state, input), stroke: null };
    case "move":
      return { state: pointerMove(state, input.pointer, input.samples), stroke: null };
    case "up":
      return pointerUp(state, input.pointer);
    case "cancel":
      return {
        state: owns(state.pointer, input.pointer) ? { ...state, pointer: IDLE } : state,
        stroke: null,
      };
    default:
      return unreachable(input);
  }
}

/** The stroke under the pen right now, or null. */
export function currentDraft(state: ToolState): StrokeDraft | null {
  return state.pointer.type === "drawing" ? state.pointer.draft : null;
}

function pointerDown(state: ToolState, input: Extract<PointerInput, { type: "down" }>): ToolState {
  const penSeen = state.penSeen || input.kind === "pen";
  const { pointer } = state;
  const { at } = input.sample;
  switch (pointer.type) {
    case "idle": {
      const pans = input.intent === "pan" || (input.kind === "touch" && penSeen);
      const next: PointerState = pans
        ? { type: "panning", pointer: input.pointer, kind: input.kind, at }
        : {
            type: "drawing",
            pointer: input.pointer,
            kind: input.kind,
            at,
            draft: begin(state.viewport, input),
          };
      return { ...state, penSeen, pointer: next };
    }
    case "drawing":
    case "panning":
      if (pointer.kind === "touch" && input.kind === "touch") {
        const pinching: PointerState = {
          type: "pinching",
          pointers: [pointer.pointer, input.pointer],
          at: [pointer.at, at],
        };
        return { ...state, penSeen, pointer: pinching };
      }
      if (pointer.kind === "touch" && input.kind === "pen") {
        // The hand landed before the pen.
        return pointerDown({ ...state, penSeen, pointer: IDLE }, input);
      }
      return { ...state, penSeen };
    case "pinching":
      return { ...state, penSeen };
    default:
      return unreachable(pointer);
  }
}

function begin(viewport: Viewport, input: Extract<PointerInput, { type: "down" }>): StrokeDraft {
  return beginStroke(input.id, input.ink, {
    point: toDocument(viewport, input.sample.at),
    pressure: input.kind === "pen" ? input.sample.pressure : null,
    time_ms: input.sample.time_ms,
  });
}

function pointerMove(state: ToolState, id: number, samples: readonly Sample[]): ToolState {
  const { pointer, viewport } = state;
  const last = samples.at(-1);
  if (last === undefined || !owns(pointer, id)) return state;
  switch (pointer.type) {
    case "idle":
      return state;
    case "drawing": {
      const draft = extendStroke(
        pointer.draft,
        samples.map((sample) => ({
          point: toDocument(viewport, sample.at),
          pressure: pointer.kind === "pen" ? sample.pressure : null,
          time_ms: sample.time_ms,
        })),
      );
      return { ...state, pointer: { ...pointer, draft, at: last.at } };
    }
    case "panning":
      return { ...state, viewport: pan(viewport, pointer.at, last.at), pointer: { ...pointer, at: last.at } };
    case "pinching": {
      const at: Pinch = pointer.pointers[0] === id ? [last.at, pointer.at[1]] : [pointer.at[0], last.at];
      return { ...state, viewport: pinch(viewport, pointer.at, at), pointer: { ...pointer, at } };
    }
    default:
      return unreachable(pointer);
  }
}

function pointerUp(state: ToolState, id: number): ToolResult {
  const { pointer } = state;
  if (!owns(pointer, id)) return { state, stroke: null };
  switch (pointer.type) {
    case "drawing":
      return { state: { ...state, pointer: IDLE }, stroke: finishStroke(pointer.draft) };
    case "pinching": {
      // The finger that stays goes on moving the paper.
      const [first, second] = pointer.pointers;
      const stays: PointerState =
        first === id
          ? { type: "panning", pointer: second, kind: "touch", at: pointer.at[1] }
          : { type: "panning", pointer: first, kind: "touch", at: pointer.at[0] };
      return { state: { ...state, pointer: stays }, stroke: null };
    }
    case "idle":
    case "panning":
      return { state: { ...state, pointer: IDLE }, stroke: null };
    default:
      return unreachable(pointer);
  }
}

function owns(pointer: PointerState, id: number): boolean {
  switch (pointer.type) {
    case "idle":
      return false;
    case "drawing":
    case "panning":
      return pointer.pointer === id;
    case "pinching":
      return pointer.pointers.includes(id);
    default:
      return unreachable(pointer);
  }
}
