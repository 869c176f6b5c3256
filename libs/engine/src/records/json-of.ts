/** What `perform` or an operator gave, as JSON; undefined: it has no place there. */
export function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}
