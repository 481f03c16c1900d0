/** The demo's timeline: how far each stroke is drawn, and how much of the image shows, at a moment. */

export const DRAW_MS = 7000;
export const PAUSE_MS = 450;
export const REVEAL_MS = 1800;
/** The image stops short of the right edge, so that both pictures stay in sight. Chosen by eye. */
export const REST_REVEAL = 77;
/** Time to move the pen to the next stroke, counted in points. Chosen: a beat, not a wait. */
const LIFT_POINTS = 5;

export type Moment = {
  /** Whole strokes that are on the paper. */
  readonly finished: number;
  /** Points of the next stroke that are on the paper. */
  readonly points: number;
  /** 0 to 100: per cent of the image shown. */
  readonly reveal: number;
  readonly isOver: boolean;
};

/** Say what shows `elapsedMs` after the start, for strokes with these numbers of points. */
export function demoMoment(pointCounts: readonly number[], elapsedMs: number): Moment {
  const total = pointCounts.reduce((sum, count) => sum + count + LIFT_POINTS, 0);
  const revealed = clamp((elapsedMs - DRAW_MS - PAUSE_MS) / REVEAL_MS);
  const isOver = revealed >= 1;
  const reveal = REST_REVEAL * (1 - (1 - revealed) ** 3);
  if (elapsedMs >= DRAW_MS) return { finished: pointCounts.length, points: 0, reveal, isOver };

  let left = Math.floor(clamp(elapsedMs / DRAW_MS) * total);
  for (const [index, count] of pointCounts.entries()) {
    if (left < count + LIFT_POINTS)
      return { finished: index, points: Math.min(left, count), reveal: 0, isOver };
    left -= count + LIFT_POINTS;
  }
  return { finished: pointCounts.length, points: 0, reveal, isOver };
}

function clamp(value: number): number {
  return Math.min(1, Math.max(0, value));
}
