/** Preferences: small things that the browser remembers for one person. */

/** Read what was remembered; null when there is nothing, or storage is forbidden. */
export function recall(key: string): unknown {
  try {
    const text = localStorage.getItem(key);
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

/** Remember a value; a full or forbidden storage only means that it is forgotten. */
export function remember(key: string, value: unknown): void {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Nothing depends on it.
  }
}
