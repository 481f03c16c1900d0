/**
 * The content hash: a name for what the drawing looks like.
 *
 * It is made from the strokes that the operations left, in their order, never from pixels, and knows nothing of
 * stroke ids: the same drawing after a reload or an undo and redo has the same name. 64 bits, not cryptographic.
 */
import type { SketchDocument, Stroke } from "./document";

export function contentHash(document: SketchDocument): string {
  const hash = new Mixer();
  const { paper } = document;
  for (const value of [paper.x, paper.y, paper.width, paper.height]) hash.number(value);
  for (const stroke of document.strokes) {
    const [high, low] = strokeHash(stroke);
    hash.word(high);
    hash.word(low);
  }
  return hash.hex();
}

/** Strokes never change, so each is read once: hashing 5,000 of them after a new one takes microseconds. */
const known = new WeakMap<Stroke, readonly [number, number]>();

function strokeHash(stroke: Stroke): readonly [number, number] {
  const found = known.get(stroke);
  if (found !== undefined) return found;
  const hash = new Mixer();
  hash.text(stroke.tool);
  hash.text(stroke.tool === "eraser" ? "" : stroke.colour);
  hash.number(stroke.width);
  hash.number(stroke.opacity);
  for (const point of stroke.points) {
    hash.number(point.x);
    hash.number(point.y);
    hash.number(point.pressure);
  }
  const words = hash.words();
  known.set(stroke, words);
  return words;
}

/** Two 32-bit lanes mixed like MurmurHash3's, with its constants; order matters to both. */
class Mixer {
  private a = 0x9747b28c | 0;
  private b = 0x3c6ef372 | 0;
  private count = 0;

  word(value: number): void {
    const k = Math.imul(rotate(Math.imul(value | 0, 0xcc9e2d51), 15), 0x1b873593);
    this.a = (Math.imul(rotate(this.a ^ k, 13), 5) + 0xe6546b64) | 0;
    const l = Math.imul(rotate(Math.imul(value | 0, 0x38b34ae5), 16), 0xa1e38b93);
    this.b = (Math.imul(rotate(this.b ^ l, 17), 5) + 0x0bcaa747) | 0;
    this.count += 1;
  }

  /** Thousandths of a unit: finer than a stroke can be seen, and what survives being stored. */
  number(value: number): void {
    this.word(Math.round(value * 1000));
  }

  text(value: string): void {
    this.word(value.length);
    for (let index = 0; index < value.length; index += 1) this.word(value.charCodeAt(index));
  }

  words(): readonly [number, number] {
    return [finish(this.a ^ this.count), finish(this.b ^ this.count)];
  }

  hex(): string {
    return this.words()
      .map((word) => (word >>> 0).toString(16).padStart(8, "0"))
      .join("");
  }
}

function rotate(value: number, by: number): number {
  return (value << by) | (value >>> (32 - by));
}

function finish(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
