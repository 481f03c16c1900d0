/** Fail for a case that the types rule out; keeps every switch exhaustive. */
export function unreachable(value: never): never {
  throw new Error(`unreachable case: ${JSON.stringify(value)}`);
}
