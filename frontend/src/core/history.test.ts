import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { contentHash } from "./content-hash";
import {
  EMPTY_DOCUMENT,
  isEmpty,
  PAPER_SIDE,
  paperFor,
  type SketchDocument,
  type Stroke,
  type StrokePoint,
} from "./document";
import { type History, perform, redo, startHistory, undo, withPaper } from "./history";
import { applyOperation, inverse, type Operation } from "./operations";

const point = fc.record({
  x: fc.integer({ min: -500, max: 1000 }),
  y: fc.integer({ min: -500, max: 1000 }),
  pressure: fc.double({ min: 0, max: 1, noNaN: true }),
}) as unknown as fc.Arbitrary<StrokePoint>;

const stroke: fc.Arbitrary<Stroke> = fc.record({
  id: fc.uuid(),
  tool: fc.constantFrom("brush" as const, "eraser" as const),
  colour: fc.constantFrom("#000000", "#cc3311"),
  width: fc.integer({ min: 1, max: 80 }),
  opacity: fc.constantFrom(1, 0.5),
  points: fc.array(point, { minLength: 1, maxLength: 6 }),
});

/** A choice of operation, made for whatever document it meets. */
type Step = (document: SketchDocument) => Operation;
const step: fc.Arbitrary<Step> = fc.oneof(
  stroke.map(
    (each): Step =>
      () => ({ type: "stroke.add", stroke: each }),
  ),
  fc.array(stroke, { maxLength: 3 }).map(
    (after): Step =>
      (document) => ({ type: "strokes.replace", before: document.strokes, after }),
  ),
);

function performAll(steps: readonly Step[]): History {
  return steps.reduce(
    (history, each) => perform(history, each(history.document)),
    startHistory(EMPTY_DOCUMENT),
  );
}

function repeat(times: number, history: History, move: (history: History) => History): History {
  return Array.from({ length: times }).reduce<History>((each) => move(each), history);
}

describe("history", () => {
  test("undo takes back what was done, whatever it was", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), step, (steps, last) => {
        const before = performAll(steps);
        const after = undo(perform(before, last(before.document)));
        expect(after.document).toEqual(before.document);
      }),
    );
  });

  test("undoing everything leads to the start and redoing everything back", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const history = performAll(steps);
        const undone = repeat(steps.length, history, undo);
        expect(undone.document).toEqual(EMPTY_DOCUMENT);
        expect(repeat(steps.length, undone, redo).document).toEqual(history.document);
      }),
    );
  });

  test("an operation and its inverse leave the document as it was", () => {
    fc.assert(
      fc.property(fc.array(stroke, { maxLength: 5 }), step, (strokes, each) => {
        const document = { ...EMPTY_DOCUMENT, strokes };
        const operation = each(document);
        expect(applyOperation(applyOperation(document, operation), inverse(operation))).toEqual(document);
      }),
    );
  });

  test("at least 200 steps can be undone", () => {
    const strokes = fc.sample(stroke, 300);
    const history = performAll(strokes.map((each) => () => ({ type: "stroke.add", stroke: each })));
    expect(repeat(300, history, undo).document.strokes).toHaveLength(0);
  });

  test("a new operation forgets what was undone", () => {
    const [first, second] = fc.sample(stroke, 2) as [Stroke, Stroke];
    const history = perform(startHistory(EMPTY_DOCUMENT), { type: "stroke.add", stroke: first });
    const forked = perform(undo(history), { type: "stroke.add", stroke: second });
    expect(redo(forked)).toBe(forked);
  });

  test("other paper is no step: undo keeps it", () => {
    const [first] = fc.sample(stroke, 1) as [Stroke];
    const wide = paperFor({ width: 1024, height: 576 });
    const history = withPaper(
      perform(startHistory(EMPTY_DOCUMENT), { type: "stroke.add", stroke: first }),
      wide,
    );
    expect(undo(history).document).toEqual({ paper: wide, strokes: [] });
    expect(contentHash(history.document)).not.toBe(
      contentHash({ ...history.document, paper: EMPTY_DOCUMENT.paper }),
    );
  });

  test("undo and redo without anything to do return the same history", () => {
    const history = startHistory(EMPTY_DOCUMENT);
    expect(undo(history)).toBe(history);
    expect(redo(history)).toBe(history);
  });
});

describe("content hash", () => {
  test("replaying the same operations gives the same hash", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        expect(contentHash(performAll(steps).document)).toBe(contentHash(performAll(steps).document));
      }),
    );
  });

  test("undo and redo lead back to the same hash", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
        const history = performAll(steps);
        expect(contentHash(redo(undo(history)).document)).toBe(contentHash(history.document));
      }),
    );
  });

  test("the order of strokes matters, their ids do not", () => {
    const [a, b] = fc.sample(
      stroke.filter((each) => each.tool === "brush"),
      { numRuns: 2, seed: 7 },
    ) as [Stroke, Stroke];
    const hashOf = (...strokes: Stroke[]) => contentHash({ ...EMPTY_DOCUMENT, strokes });
    expect(hashOf(a, b)).not.toBe(hashOf(b, a));
    expect(hashOf({ ...a, id: "another" })).toBe(hashOf(a));
    expect(hashOf(a)).not.toBe(hashOf(a, a));
  });

  test("the hash is stable from version to version", () => {
    expect(contentHash(EMPTY_DOCUMENT)).toBe("98daceaebdd06c28");
  });
});

describe("paper", () => {
  test.each([
    { width: 512, height: 512 },
    { width: 1024, height: 576 },
    { width: 640, height: 960 },
  ])("for $width × $height has its shape, room for a square drawing, and the same middle", (size) => {
    const paper = paperFor(size);
    expect(paper.width / paper.height).toBeCloseTo(size.width / size.height);
    expect(Math.min(paper.width, paper.height)).toBe(PAPER_SIDE);
    expect(paper.x + paper.width / 2).toBe(PAPER_SIDE / 2);
    expect(paper.y + paper.height / 2).toBe(PAPER_SIDE / 2);
  });

  test("with nothing but eraser strokes is empty", () => {
    const [each] = fc.sample(stroke, 1) as [Stroke];
    expect(isEmpty({ ...EMPTY_DOCUMENT, strokes: [{ ...each, tool: "eraser" }] })).toBe(true);
    expect(isEmpty({ ...EMPTY_DOCUMENT, strokes: [{ ...each, tool: "brush" }] })).toBe(false);
  });
});
