import fc from "fast-check";
import { expect, test } from "vitest";
import type { StrokePoint } from "./document";
import { strokeOutline, traceOutline } from "./outline";
import {
  beginStroke,
  draftStroke,
  extendStroke,
  finishStroke,
  type Ink,
  type PointerSample,
  simplify,
} from "./stroke-draft";
import { documentPoint } from "./viewport";

const INK: Ink = { tool: "brush", colour: "#000000", width: 8, opacity: 1 };

function sample(x: number, y: number, time_ms: number, pressure: number | null = null): PointerSample {
  return { point: documentPoint(x, y), pressure, time_ms };
}

test("a tap is a stroke of one point that still has a shape", () => {
  const stroke = finishStroke(beginStroke("a", INK, sample(10, 10, 0)));
  expect(stroke.points).toHaveLength(1);
  expect(strokeOutline(stroke).length).toBeGreaterThan(4);
});

test("samples that hardly move are left out", () => {
  const draft = extendStroke(beginStroke("a", INK, sample(0, 0, 0)), [
    sample(0.1, 0, 1),
    sample(0.2, 0.1, 2),
    sample(3, 0, 3),
  ]);
  expect(draft.points).toHaveLength(2);
});

test("a pen's pressure is kept as it reports it", () => {
  const draft = extendStroke(beginStroke("a", INK, sample(0, 0, 0, 0.2)), [sample(5, 0, 5, 0.9)]);
  expect(draft.points.map((point) => point.pressure)).toEqual([0.2, 0.9]);
});

test("a fast mouse draws thinner than a slow one", () => {
  const draw = (interval_ms: number) =>
    extendStroke(
      beginStroke("a", INK, sample(0, 0, 0)),
      Array.from({ length: 20 }, (_, index) => sample((index + 1) * 6, 0, (index + 1) * interval_ms)),
    ).points.at(-1)?.pressure ?? 0;
  expect(draw(2)).toBeLessThan(draw(40));
});

test("a straight line keeps only its ends", () => {
  let draft = beginStroke("a", INK, sample(0, 0, 0, 0.5));
  draft = extendStroke(
    draft,
    Array.from({ length: 100 }, (_, index) => sample(index + 1, 0, index, 0.5)),
  );
  expect(finishStroke(draft).points).toHaveLength(2);
  expect(draftStroke(draft).points).toHaveLength(101);
});

const point = fc.record({
  x: fc.double({ min: 0, max: 512, noNaN: true }),
  y: fc.double({ min: 0, max: 512, noNaN: true }),
  pressure: fc.double({ min: 0, max: 1, noNaN: true }),
}) as unknown as fc.Arbitrary<StrokePoint>;

test("simplifying keeps both ends, the order, and every point near the line", () => {
  fc.assert(
    fc.property(
      fc.array(point, { minLength: 2, maxLength: 60 }),
      fc.double({ min: 0.01, max: 5, noNaN: true }),
      (points, tolerance) => {
        const simple = simplify(points, tolerance);
        expect(simple[0]).toBe(points[0]);
        expect(simple.at(-1)).toBe(points.at(-1));
        const places = simple.map((each) => points.indexOf(each));
        expect([...places].sort((a, b) => a - b)).toEqual(places);
      },
    ),
  );
});

test("an outline is traced as one closed path", () => {
  const calls: string[] = [];
  const stroke = finishStroke(
    extendStroke(beginStroke("a", INK, sample(0, 0, 0)), [sample(40, 10, 20), sample(80, 0, 40)]),
  );
  traceOutline(strokeOutline(stroke), {
    moveTo: () => calls.push("move"),
    quadraticCurveTo: (...numbers) => {
      expect(numbers.every(Number.isFinite)).toBe(true);
      calls.push("curve");
    },
    closePath: () => calls.push("close"),
  });
  expect(calls[0]).toBe("move");
  expect(calls.at(-1)).toBe("close");
  expect(calls.filter((call) => call === "move")).toHaveLength(1);
});
