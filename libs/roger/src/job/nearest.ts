// Finds what a misspelt name was meant to be.
import { closest, distance } from 'fastest-levenshtein';

/** `; did you mean "x"?` or, where nothing known is alike, `; known are …`. */
export function nearest(name: string, known: readonly string[]): string {
  const candidate = known.length === 0 ? undefined : closest(name, known);
  if (
    candidate !== undefined &&
    distance(name.toLowerCase(), candidate.toLowerCase()) <= slipsIn(candidate)
  ) {
    return `; did you mean ${JSON.stringify(candidate)}?`;
  }
  return known.length === 0 ? '' : `; known are ${known.join(', ')}`;
}

/** How many letters may be wrong before a name is another one rather than misspelt. */
function slipsIn(name: string): number {
  return Math.min(3, name.length / 2);
}
