/** The pointer source: the browser's pointer, wheel and space-bar events as inputs for the tools. */
import type { PointerInput, PointerKind, Sample } from "../../core/pointer-tools";
import type { Ink } from "../../core/stroke-draft";
import { type ScreenPoint, screenPoint } from "../../core/viewport";
import { isTyping } from "../keyboard";

export type PointerSourceOptions = {
  readonly ink: () => Ink;
  readonly onInput: (input: PointerInput) => void;
  readonly onHover: (point: ScreenPoint | null) => void;
  readonly onZoom: (anchor: ScreenPoint, factor: number) => void;
};

const WHEEL_LINE_PX = 16;
const MIDDLE_BUTTON = 1;

export class PointerSource {
  private readonly abort = new AbortController();
  private spaceHeld = false;

  constructor(
    private readonly element: HTMLElement,
    private readonly options: PointerSourceOptions,
  ) {
    const { signal } = this.abort;
    element.addEventListener("pointerdown", this.down, { signal });
    element.addEventListener("pointermove", this.move, { signal });
    element.addEventListener("pointerup", this.up, { signal });
    element.addEventListener("pointercancel", this.cancel, { signal });
    element.addEventListener("blur", () => element.removeAttribute("data-pressed"), { signal });
    element.addEventListener("pointerleave", () => options.onHover(null), { signal });
    element.addEventListener("wheel", this.wheel, { signal, passive: false });
    element.addEventListener("contextmenu", (event) => event.preventDefault(), { signal });
    window.addEventListener("keydown", this.key, { signal });
    window.addEventListener("keyup", this.key, { signal });
    window.addEventListener("blur", () => this.holdSpace(false), { signal });
  }

  dispose(): void {
    this.abort.abort();
  }

  private readonly down = (event: PointerEvent): void => {
    const middle = event.button === MIDDLE_BUTTON;
    if (event.button !== 0 && !middle) return;
    event.preventDefault();
    // Focused by hand, since the default is prevented; a ring would frame every stroke.
    this.element.toggleAttribute("data-pressed", true);
    this.element.focus({ preventScroll: true });
    this.element.setPointerCapture(event.pointerId);
    this.options.onInput({
      type: "down",
      pointer: event.pointerId,
      kind: kindOf(event),
      sample: this.sample(event),
      intent: middle || this.spaceHeld ? "pan" : "draw",
      id: crypto.randomUUID(),
      ink: this.options.ink(),
    });
  };

  private readonly move = (event: PointerEvent): void => {
    const coalesced = event.getCoalescedEvents?.() ?? [];
    const samples = (coalesced.length > 0 ? coalesced : [event]).map((each) => this.sample(each));
    this.options.onInput({ type: "move", pointer: event.pointerId, samples });
    this.options.onHover(event.pointerType === "touch" ? null : this.at(event));
  };

  private readonly up = (event: PointerEvent): void => {
    this.options.onInput({ type: "up", pointer: event.pointerId });
  };

  private readonly cancel = (event: PointerEvent): void => {
    this.options.onInput({ type: "cancel", pointer: event.pointerId });
  };

  private readonly wheel = (event: WheelEvent): void => {
    event.preventDefault();
    const delta = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * WHEEL_LINE_PX : event.deltaY;
    // A pinch on a trackpad comes as a wheel with Ctrl, in much smaller steps.
    this.options.onZoom(this.at(event), Math.exp(-delta * (event.ctrlKey ? 0.01 : 0.0016)));
  };

  private readonly key = (event: KeyboardEvent): void => {
    if (event.code !== "Space" || isTyping(event.target) || isPressable(event.target)) return;
    event.preventDefault();
    this.holdSpace(event.type === "keydown");
  };

  private holdSpace(held: boolean): void {
    this.spaceHeld = held;
    this.element.toggleAttribute("data-panning", held);
  }

  private sample(event: PointerEvent): Sample {
    return { at: this.at(event), pressure: event.pressure, time_ms: event.timeStamp };
  }

  private at(event: MouseEvent): ScreenPoint {
    const box = this.element.getBoundingClientRect();
    return screenPoint(event.clientX - box.left, event.clientY - box.top);
  }
}

function kindOf(event: PointerEvent): PointerKind {
  return event.pointerType === "pen" || event.pointerType === "touch" ? event.pointerType : "mouse";
}

function isPressable(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("button, a, summary, select") !== null;
}
