// Refuses a wrong argument of a call.
import { InvalidArgumentError } from './errors';

/** @param problem what a `problemOf…` function says; undefined: nothing is wrong. @throws InvalidArgumentError */
export function checkArgument(argument: string, problem: string | undefined): void {
  if (problem !== undefined) throw new InvalidArgumentError(argument, problem);
}
