import fc from "fast-check";
import { expect, test } from "vitest";
import {
  documentPoint,
  fitPaper,
  keepInView,
  pan,
  pinch,
  SCALE_RANGE,
  screenPoint,
  toDocument,
  toScreen,
  zoomAbout,
} from "./viewport";

const coordinate = fc.double({ min: -4000, max: 4000, noNaN: true });
const scale = fc.double({ min: SCALE_RANGE.min, max: SCALE_RANGE.max, noNaN: true });
const viewport = fc.record({ scale, x: coordinate, y: coordinate });

test("screen and document coordinates round trip", () => {
  fc.assert(
    fc.property(viewport, coordinate, coordinate, (view, x, y) => {
      const back = toScreen(view, toDocument(view, screenPoint(x, y)));
      expect(back.x).toBeCloseTo(x, 6);
      expect(back.y).toBeCloseTo(y, 6);
    }),
  );
});

test("zooming keeps the point under the anchor and stays in range", () => {
  fc.assert(
    fc.property(
      viewport,
      coordinate,
      coordinate,
      fc.double({ min: 0.01, max: 100, noNaN: true }),
      (view, x, y, factor) => {
        const anchor = screenPoint(x, y);
        const zoomed = zoomAbout(view, anchor, factor);
        const before = toDocument(view, anchor);
        const after = toDocument(zoomed, anchor);
        expect(after.x).toBeCloseTo(before.x, 4);
        expect(after.y).toBeCloseTo(before.y, 4);
        expect(zoomed.scale).toBeGreaterThanOrEqual(SCALE_RANGE.min);
        expect(zoomed.scale).toBeLessThanOrEqual(SCALE_RANGE.max);
      },
    ),
  );
});

test("panning there and back changes nothing", () => {
  fc.assert(
    fc.property(viewport, coordinate, coordinate, coordinate, coordinate, (view, ax, ay, bx, by) => {
      const a = screenPoint(ax, ay);
      const b = screenPoint(bx, by);
      const back = pan(pan(view, a, b), b, a);
      expect(back.x).toBeCloseTo(view.x, 6);
      expect(back.y).toBeCloseTo(view.y, 6);
    }),
  );
});

test("fit shows the whole paper in the middle", () => {
  const view = fitPaper({ x: -100, y: 0, width: 712, height: 512 }, { width: 400, height: 400 }, 10);
  const left = toScreen(view, documentPoint(-100, 0));
  const right = toScreen(view, documentPoint(612, 512));
  expect(left.x).toBeCloseTo(10);
  expect(right.x).toBeCloseTo(390);
  expect((left.y + right.y) / 2).toBeCloseTo(200);
});

test("spreading two fingers to twice their distance doubles the scale", () => {
  const before = [screenPoint(100, 100), screenPoint(200, 100)] as const;
  const after = [screenPoint(50, 100), screenPoint(250, 100)] as const;
  expect(pinch({ scale: 1, x: 0, y: 0 }, before, after).scale).toBeCloseTo(2);
});

test("two fingers at one place do not break the viewport", () => {
  const same = [screenPoint(100, 100), screenPoint(100, 100)] as const;
  const next = pinch({ scale: 1, x: 0, y: 0 }, same, same);
  expect(Number.isFinite(next.scale)).toBe(true);
});

test("the paper cannot be panned out of sight", () => {
  const paper = { x: 0, y: 0, width: 512, height: 512 };
  const kept = keepInView({ scale: 1, x: 9000, y: -9000 }, paper, { width: 400, height: 400 });
  expect(kept.x).toBe(300);
  expect(kept.y).toBe(100 - 512);
});
