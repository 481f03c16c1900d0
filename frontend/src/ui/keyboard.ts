/** The keyboard: which shortcuts there are and what they do. */

export type Shortcut = { readonly keys: readonly string[]; readonly words: string };

/** The key that makes a letter a command, as this machine's keyboard names it. */
export const MODIFIER = /Mac|iP(hone|ad|od)/.test(globalThis.navigator?.platform ?? "") ? "⌘" : "Ctrl";

export const SHORTCUTS: readonly Shortcut[] = [
  { keys: [MODIFIER, "Enter"], words: "Generate" },
  { keys: ["Esc"], words: "Cancel the image under way" },
  { keys: ["B"], words: "Brush" },
  { keys: ["E"], words: "Eraser" },
  { keys: ["["], words: "Thinner" },
  { keys: ["]"], words: "Thicker" },
  { keys: [MODIFIER, "Z"], words: "Undo" },
  { keys: [MODIFIER, "Shift", "Z"], words: "Redo" },
  { keys: ["Space", "drag"], words: "Move the paper" },
  { keys: ["Wheel"], words: "Zoom" },
  { keys: ["0"], words: "Show the whole paper" },
  { keys: ["?"], words: "This list" },
];

export type Command =
  | "generate"
  | "cancel"
  | "brush"
  | "eraser"
  | "thinner"
  | "thicker"
  | "undo"
  | "redo"
  | "fit"
  | "shortcuts";

type Key = Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "shiftKey" | "altKey">;

/** Say what a key means; while typing, only the keys that text does not need. */
export function commandFor(event: Key, typing: boolean): Command | null {
  const key = event.key.toLowerCase();
  if (event.altKey) return null;
  if (event.ctrlKey || event.metaKey) {
    if (key === "enter") return "generate";
    if (typing) return null;
    if (key === "z") return event.shiftKey ? "redo" : "undo";
    return key === "y" ? "redo" : null;
  }
  if (key === "escape") return "cancel";
  if (typing) return null;
  return PLAIN_KEYS[key] ?? null;
}

const PLAIN_KEYS: Readonly<Record<string, Command>> = {
  b: "brush",
  e: "eraser",
  "[": "thinner",
  "]": "thicker",
  "0": "fit",
  "?": "shortcuts",
};

/** True where a key writes text. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement)
    return !["range", "color", "checkbox", "button"].includes(target.type);
  return target instanceof HTMLTextAreaElement || target.isContentEditable;
}
