/** The landing page's demo: a sketch draws itself, then the image made from it slides in. */

import type { Stroke } from "../../core/document";
import { strokeOutline, traceOutline } from "../../core/outline";
import { presetStrokes } from "../../core/sketch-json";
import lighthouse from "./lighthouse.json";
import { demoMoment } from "./timeline";

/** Bring the figure to life; returns the way to stop it. */
export function startDemo(figure: HTMLElement): () => void {
  const stage = figure.querySelector<HTMLElement>(".demo-stage");
  const canvas = figure.querySelector<HTMLCanvasElement>(".demo-canvas");
  const still = figure.querySelector<HTMLElement>(".demo-sketch");
  const controls = figure.querySelector<HTMLElement>(".demo-controls");
  const slider = figure.querySelector<HTMLInputElement>("input[type=range]");
  const button = figure.querySelector<HTMLButtonElement>("[data-demo-replay]");
  const paper = canvas?.getContext("2d");
  if (!stage || !canvas || !still || !controls || !slider || !button || !paper) return () => {};

  let nextId = 0;
  const strokes = presetStrokes(lighthouse, () => `demo-${nextId++}`);
  const counts = strokes.map((stroke) => stroke.points.length);
  const scale = canvas.width / lighthouse.width;
  let frame = 0;
  let painted = 0;

  const showReveal = (percent: number): void => {
    figure.style.setProperty("--reveal", String(percent));
    slider.value = String(percent);
  };
  const rest = (): void => {
    cancelAnimationFrame(frame);
    frame = 0;
    canvas.hidden = true;
    still.hidden = false;
    button.textContent = "Draw again";
  };
  const blank = (): void => {
    paper.setTransform(scale, 0, 0, scale, 0, 0);
    paper.fillStyle = "#ffffff";
    paper.fillRect(0, 0, lighthouse.width, lighthouse.height);
    painted = 0;
  };
  const play = (): void => {
    blank();
    showReveal(0);
    canvas.hidden = false;
    still.hidden = true;
    button.textContent = "Skip";
    let start: number | null = null;
    const tick = (now: number): void => {
      start ??= now;
      const moment = demoMoment(counts, now - start);
      // Finished strokes are painted once. The one under the pen grows on top of itself.
      for (; painted < moment.finished; painted += 1) paintStroke(paper, strokes[painted]);
      const current = strokes[moment.finished];
      if (current !== undefined && moment.points > 1) {
        paintStroke(paper, { ...current, points: current.points.slice(0, moment.points) }, false);
      }
      showReveal(moment.reveal);
      if (moment.isOver) rest();
      else frame = requestAnimationFrame(tick);
    };
    frame = requestAnimationFrame(tick);
  };
  const skip = (): void => {
    rest();
    showReveal(demoMoment(counts, Number.POSITIVE_INFINITY).reveal);
  };

  const takeOver = (percent: number): void => {
    if (frame !== 0) rest();
    showReveal(Math.min(100, Math.max(0, percent)));
  };
  const onButton = (): void => (frame === 0 ? play() : skip());
  const onSlide = (): void => takeOver(Number(slider.value));
  const onDrag = (event: PointerEvent): void => {
    if (event.type === "pointermove" && event.buttons === 0) return;
    if (event.type === "pointerdown") stage.setPointerCapture(event.pointerId);
    const box = stage.getBoundingClientRect();
    takeOver(((event.clientX - box.left) / box.width) * 100);
  };
  button.addEventListener("click", onButton);
  slider.addEventListener("input", onSlide);
  stage.addEventListener("pointerdown", onDrag);
  stage.addEventListener("pointermove", onDrag);
  controls.hidden = false;

  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const sight = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    sight.disconnect();
    play();
  });
  if (isCalm) skip();
  else sight.observe(stage);

  return () => {
    sight.disconnect();
    rest();
    button.removeEventListener("click", onButton);
    slider.removeEventListener("input", onSlide);
    stage.removeEventListener("pointerdown", onDrag);
    stage.removeEventListener("pointermove", onDrag);
  };
}

function paintStroke(paper: CanvasRenderingContext2D, stroke: Stroke | undefined, finished = true): void {
  if (stroke === undefined) return;
  paper.fillStyle = stroke.colour;
  paper.beginPath();
  traceOutline(strokeOutline(stroke, { finished }), paper);
  paper.fill();
}
