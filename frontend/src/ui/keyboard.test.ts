import { expect, test } from "vitest";
import { type Command, commandFor } from "./keyboard";

const PLAIN = { ctrlKey: false, metaKey: false, shiftKey: false, altKey: false };

test.each<[string, Partial<typeof PLAIN>, Command | null, Command | null]>([
  // key, modifiers, on the page, while typing
  ["Enter", { ctrlKey: true }, "generate", "generate"],
  ["Enter", { metaKey: true }, "generate", "generate"],
  ["Escape", {}, "cancel", "cancel"],
  ["b", {}, "brush", null],
  ["E", {}, "eraser", null],
  ["[", {}, "thinner", null],
  ["]", {}, "thicker", null],
  ["z", { ctrlKey: true }, "undo", null],
  ["Z", { ctrlKey: true, shiftKey: true }, "redo", null],
  ["y", { ctrlKey: true }, "redo", null],
  ["?", { shiftKey: true }, "shortcuts", null],
  ["b", { ctrlKey: true }, null, null],
  ["b", { altKey: true }, null, null],
  ["Enter", {}, null, null],
])("%s with %j", (key, modifiers, page, typing) => {
  const event = { ...PLAIN, ...modifiers, key };
  expect(commandFor(event, false)).toBe(page);
  expect(commandFor(event, true)).toBe(typing);
});
