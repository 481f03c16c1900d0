import { describe, expect, it } from "vitest";
import { DRAW_MS, demoMoment, PAUSE_MS, REST_REVEAL, REVEAL_MS } from "./timeline";

const COUNTS = [10, 1, 40];

describe("demoMoment", () => {
  it("starts with empty paper", () => {
    expect(demoMoment(COUNTS, 0)).toEqual({ finished: 0, points: 0, reveal: 0, isOver: false });
  });

  it("never takes a point back", () => {
    const drawn = (ms: number): number => {
      const moment = demoMoment(COUNTS, ms);
      return COUNTS.slice(0, moment.finished).reduce((a, b) => a + b, 0) + moment.points;
    };
    for (let ms = 0; ms < DRAW_MS; ms += 16) expect(drawn(ms + 16)).toBeGreaterThanOrEqual(drawn(ms));
  });

  it("shows nothing of the image before every stroke is drawn", () => {
    expect(demoMoment(COUNTS, DRAW_MS - 1).reveal).toBe(0);
    expect(demoMoment(COUNTS, DRAW_MS).finished).toBe(COUNTS.length);
  });

  it("ends with both pictures in sight", () => {
    const end = demoMoment(COUNTS, DRAW_MS + PAUSE_MS + REVEAL_MS);
    expect(end).toEqual({ finished: 3, points: 0, reveal: REST_REVEAL, isOver: true });
  });
});
