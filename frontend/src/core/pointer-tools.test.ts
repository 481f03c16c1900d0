import { describe, expect, test } from "vitest";
import {
  currentDraft,
  handlePointer,
  type PointerInput,
  type PointerKind,
  startTools,
  type ToolState,
} from "./pointer-tools";
import { screenPoint } from "./viewport";

const START = startTools({ scale: 2, x: 10, y: 20 });

function down(
  pointer: number,
  kind: PointerKind,
  x = 0,
  y = 0,
  intent: "draw" | "pan" = "draw",
): PointerInput {
  const ink = { tool: "brush", colour: "#123456", width: 4, opacity: 1 } as const;
  return {
    type: "down",
    pointer,
    kind,
    sample: { at: screenPoint(x, y), pressure: 0.4, time_ms: 0 },
    intent,
    id: `s${pointer}`,
    ink,
  };
}

function move(pointer: number, ...places: [number, number][]): PointerInput {
  return {
    type: "move",
    pointer,
    samples: places.map(([x, y], index) => ({
      at: screenPoint(x, y),
      pressure: 0.6,
      time_ms: 10 * (index + 1),
    })),
  };
}

function play(state: ToolState, ...inputs: PointerInput[]) {
  return inputs.reduce(
    (result, input) => {
      const next = handlePointer(result.state, input);
      return {
        state: next.state,
        strokes: next.stroke === null ? result.strokes : [...result.strokes, next.stroke],
      };
    },
    { state, strokes: [] as NonNullable<ReturnType<typeof handlePointer>["stroke"]>[] },
  );
}

describe("drawing", () => {
  test("turns screen points, coalesced ones too, into a stroke in document units", () => {
    const { state, strokes } = play(START, down(1, "pen", 10, 20), move(1, [30, 20], [50, 60]), {
      type: "up",
      pointer: 1,
    });
    expect(state.pointer.type).toBe("idle");
    expect(strokes[0]?.points.map(({ x, y }) => [x, y])).toEqual([
      [0, 0],
      [10, 0],
      [20, 20],
    ]);
    expect(strokes[0]?.points.map(({ pressure }) => pressure)).toEqual([0.4, 0.6, 0.6]);
  });

  test("a cancelled pointer leaves no stroke", () => {
    const { state, strokes } = play(START, down(1, "pen"), move(1, [30, 20]), { type: "cancel", pointer: 1 });
    expect(strokes).toEqual([]);
    expect(currentDraft(state)).toBeNull();
  });

  test("another pointer's moves and ups change nothing", () => {
    const drawing = play(START, down(1, "mouse")).state;
    expect(handlePointer(drawing, move(2, [5, 5])).state).toBe(drawing);
    expect(handlePointer(drawing, { type: "up", pointer: 2 }).state).toBe(drawing);
  });
});

describe("moving the paper", () => {
  test("the pan intent moves it by as much as the pointer", () => {
    const { state, strokes } = play(START, down(1, "mouse", 0, 0, "pan"), move(1, [5, 7]), {
      type: "up",
      pointer: 1,
    });
    expect(strokes).toEqual([]);
    expect(state.viewport).toEqual({ scale: 2, x: 15, y: 27 });
  });

  test("a second finger drops the stroke and pinches", () => {
    const { state, strokes } = play(
      START,
      down(1, "touch", 0, 0),
      move(1, [2, 0]),
      down(2, "touch", 100, 0),
      move(2, [198, 0]),
    );
    expect(state.pointer.type).toBe("pinching");
    expect(state.viewport.scale).toBeCloseTo(4);
    expect(strokes).toEqual([]);
  });

  test("after a pinch the finger that stays pans and draws nothing", () => {
    const { state, strokes } = play(
      START,
      down(1, "touch"),
      down(2, "touch", 100, 0),
      { type: "up", pointer: 1 },
      move(2, [110, 0]),
      {
        type: "up",
        pointer: 2,
      },
    );
    expect(strokes).toEqual([]);
    expect(state.viewport.x).toBeCloseTo(START.viewport.x + 10);
  });
});

describe("palm rejection", () => {
  test("fingers draw until a pen is seen", () => {
    expect(play(START, down(1, "touch")).state.pointer.type).toBe("drawing");
  });

  test("once a pen was seen a finger moves the paper", () => {
    const seen = play(START, down(1, "pen"), { type: "up", pointer: 1 }).state;
    expect(play(seen, down(2, "touch")).state.pointer.type).toBe("panning");
  });

  test("a hand that lands before the pen loses to it", () => {
    const { state } = play(START, down(1, "touch"), down(2, "pen", 4, 4));
    expect(state.pointer).toMatchObject({ type: "drawing", pointer: 2, kind: "pen" });
  });

  test("a hand that lands while the pen draws is ignored", () => {
    const { state } = play(START, down(1, "pen"), down(2, "touch", 50, 50), move(2, [90, 90]));
    expect(state.pointer).toMatchObject({ type: "drawing", pointer: 1 });
    expect(state.viewport).toEqual(START.viewport);
  });
});
