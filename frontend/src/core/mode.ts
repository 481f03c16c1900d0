/** The mode: what becomes of the picture that is sent. */

/** Modes of a drawing: painted over, or followed as a reference. */
export type DrawingMode = "paint" | "follow";
/** Modes of a finished image, which make it twice as large: with new detail, or with none. */
export type EnlargingMode = "hd" | "upscale";
export type Mode = DrawingMode | EnlargingMode;
export type Model = "distilled" | "base";

/** Workflows that the image machines can make now; null while none answers. */
export type Offered = readonly string[] | null;

/** Said where no machine offers what is asked for. */
export const NOT_NOW = "No image machine can do this right now";

export function isEnlarging(mode: Mode): mode is EnlargingMode {
  return mode === "hd" || mode === "upscale";
}

/** The server's name for what a machine must be able to do. */
export function workflowOf(mode: Mode, model: Model): string {
  return model === "base" && mode !== "upscale" ? `${mode}-base` : mode;
}

/** Whether it can be made; while no machine answers, it may wait for one. */
export function isOffered(offered: Offered, mode: Mode, model: Model): boolean {
  return offered === null || offered.includes(workflowOf(mode, model));
}
