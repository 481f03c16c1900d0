/** Exporting the sketch: the strokes as a PNG of exactly the size that is asked for, on white paper. */
import type { SketchDocument } from "../../core/document";
import type { Extent } from "../../core/viewport";
import { context2d } from "./ink-layer";
import { paintStroke } from "./paint-stroke";

export async function exportSketch(document_: SketchDocument, size: Extent): Promise<Blob> {
  const ink = canvasOf(size);
  const context = context2d(ink);
  const { paper, strokes } = document_;
  context.setTransform(size.width / paper.width, 0, 0, size.height / paper.height, 0, 0);
  context.translate(-paper.x, -paper.y);
  for (const stroke of strokes) paintStroke(context, stroke);

  const sheet = canvasOf(size);
  // Opaque: the file has no alpha channel then, is made in half the time, and the server need not
  // decode it to put it on paper.
  const sheetContext = context2d(sheet, { alpha: false });
  sheetContext.fillStyle = "#ffffff";
  sheetContext.fillRect(0, 0, size.width, size.height);
  sheetContext.drawImage(ink, 0, 0);
  return new Promise((resolve, reject) => {
    sheet.toBlob(
      (blob) => (blob === null ? reject(new Error("The sketch could not be encoded.")) : resolve(blob)),
      "image/png",
    );
  });
}

export async function blobToBase64(blob: Blob): Promise<string> {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let binary = "";
  // In pieces: a call with a million arguments overflows the stack.
  for (let at = 0; at < bytes.length; at += 0x8000)
    binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(binary);
}

function canvasOf(size: Extent): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = size.width;
  canvas.height = size.height;
  return canvas;
}
