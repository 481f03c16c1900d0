/** A submission: the user's last press of Generate, until its job is known or it was refused. */
import type { FieldErrors } from "./generate-request";

export type Refusal = {
  readonly code: string;
  readonly message: string;
  readonly fields: FieldErrors;
  readonly retry_after_s: number | null;
};

export type Submission =
  | { readonly type: "none" }
  | { readonly type: "sending" }
  | { readonly type: "refused"; readonly refusal: Refusal };

export const NO_SUBMISSION: Submission = { type: "none" };

/** Refusals that belong to a field are shown there; the others need a card of their own. */
export function refusalForCard(submission: Submission): Refusal | null {
  if (submission.type !== "refused") return null;
  return Object.keys(submission.refusal.fields).length > 0 ? null : submission.refusal;
}

export function refusedFields(submission: Submission): FieldErrors {
  return submission.type === "refused" ? submission.refusal.fields : {};
}
