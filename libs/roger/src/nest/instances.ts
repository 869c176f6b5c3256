// The RogerModules of one app, told apart by their names.
import type { ModulesContainer } from '@nestjs/core';
import { InvalidOptionsError, show } from '../job/errors';
import { problemOfInstanceName } from '../job/names';

/** The name of a module instance; undefined: the unnamed one. */
export type InstanceName = string | undefined;

/** Stands among the providers of each RogerModule and says its name. */
export class InstanceMark {
  constructor(readonly name: InstanceName) {}
}

/**
 * The names of all RogerModules of the app.
 * @throws InvalidOptionsError when one is no name, or two have the same or none.
 */
export function instancesOf(modules: ModulesContainer): readonly InstanceName[] {
  const names = new Set<InstanceName>();
  for (const module of modules.values()) {
    const mark: unknown = module.providers.get(InstanceMark)?.instance;
    if (!(mark instanceof InstanceMark)) continue;
    const { name } = mark;
    const problem = name === undefined ? undefined : problemOfInstanceName(name);
    if (problem !== undefined) throw new InvalidOptionsError([{ path: 'name', message: problem }]);
    if (names.has(name)) throw new InvalidOptionsError([{ path: 'name', message: problemOfTwo(name) }]);
    names.add(name);
  }
  return [...names];
}

/** The problem with what is meant for an instance that the app does not have, or undefined when it has it. */
export function problemOfBelonging(
  instance: InstanceName,
  known: readonly InstanceName[],
): string | undefined {
  if (known.includes(instance)) return undefined;
  const which =
    instance === undefined ? 'the unnamed module instance' : `the module instance ${show(instance)}`;
  return (
    `it belongs to ${which}, but this app has ${list(known)}; ` +
    `mend its { instance }, or import a RogerModule of that name`
  );
}

function problemOfTwo(name: InstanceName): string {
  return name === undefined
    ? "two RogerModules of this app have no name; import one object in several modules, or give each further one a name: forRoot({ name: '…' })"
    : `two RogerModules of this app are named ${show(name)}; give each a name of its own, or import one object in several modules`;
}

function list(names: readonly InstanceName[]): string {
  const shown = names.map((name) => (name === undefined ? 'the unnamed one' : show(name)));
  const last = shown.pop() ?? 'none';
  return shown.length === 0 ? `${last} only` : `${shown.join(', ')} and ${last}`;
}
