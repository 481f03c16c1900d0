/**
 * What can go wrong between the studio and the server.
 *
 *   ApiError            the server answered, and refused; `code` is stable, `fields` names what is wrong
 *   ├── NetworkError    no answer; whether the server did anything is unknown
 *   └── BadReply        an answer that is not what the contract says
 */
import type { FieldErrors } from "../core/generate-request";

export class ApiError extends Error {
  override readonly name: string = "ApiError";

  constructor(
    readonly code: string,
    /** HTTP status; 0 without an answer. */
    readonly status: number,
    message: string,
    readonly fields: FieldErrors = {},
    readonly retry_after_s: number | null = null,
  ) {
    super(message);
  }
}

export class NetworkError extends ApiError {
  override readonly name = "NetworkError";

  constructor() {
    super("network", 0, "The server cannot be reached.");
  }
}

export class BadReply extends ApiError {
  override readonly name = "BadReply";

  constructor(what: string, status = 0) {
    super("bad_reply", status, `The server's answer was not understood (${what}).`);
  }
}
