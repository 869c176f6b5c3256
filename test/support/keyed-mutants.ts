// Builds of Roger with one guard of the ledger switched off, to see whether the observer misses it.
import { Keeper } from '../../libs/roger/src/ledger/keeper';
import { LedgerState } from '../../libs/roger/src/ledger/ledger-state';
import { LogReader } from '../../libs/roger/src/ledger/log-reader';

type Method = (this: never, ...args: never[]) => unknown;

export type Guard = 'log before reply' | 'fence' | 'idempotence' | 'dispatch number';

/** Switches a guard off in this process. */
export function switchOff(guard: string | undefined): void {
  if (guard === undefined) return;
  switch (guard as Guard) {
    case 'log before reply':
      answerBeforeTheLog(Keeper.prototype);
      return;
    case 'fence':
      replace(LedgerState.prototype, 'isPresentFence', () => true);
      return;
    case 'idempotence':
      replace(LogReader.prototype, 'recall', () => undefined);
      return;
    case 'dispatch number':
      replace(LedgerState.prototype, 'isPresentDispatch', () => true);
      return;
  }
  throw new Error(`There is no guard ${guard}`);
}

/** @throws when there is no such method any more: a guard that isn't off would seem to be unnecessary. */
function replace(prototype: object, name: string, method: Method): void {
  const methods = prototype as Record<string, unknown>;
  if (typeof methods[name] !== 'function') throw new Error(`There is no method ${name} to switch off`);
  methods[name] = method;
}

/** What the keeper's private parts are to the mutant. */
interface KeeperInside {
  readonly parts: { reply(applied: readonly unknown[]): void };
}

interface TermInside {
  readonly nonce: string;
  readonly isKeeping: boolean;
  readonly reader: {
    read: (bytes: Buffer, onApplied?: (one: unknown) => void) => { readonly kind: string };
  };
}

type Append = (this: KeeperInside, term: TermInside, record: Buffer, requests: readonly unknown[]) => void;

/** Requests are carried out and answered as they are sent to the log; when they come back, nothing is left to do. */
function answerBeforeTheLog(prototype: object): void {
  const append = (prototype as Record<string, unknown>)['append'] as Append;
  const earlyReaders = new WeakMap<TermInside, (record: Buffer) => void>();
  const earlyReaderOf = ({ reader, nonce }: TermInside, keeper: KeeperInside): ((record: Buffer) => void) => {
    const read = reader.read.bind(reader);
    const done = new Set<string>();
    reader.read = (bytes, onApplied) =>
      done.delete(bytes.toString('latin1'))
        ? ({ kind: 'requests', by: nonce } as { readonly kind: string })
        : read(bytes, onApplied);
    return (record) => {
      const applied: unknown[] = [];
      if (read(record, (one) => applied.push(one)).kind !== 'requests') return;
      done.add(record.toString('latin1'));
      keeper.parts.reply(applied);
    };
  };
  const mutant: Append = function (term, record, requests) {
    append.call(this, term, record, requests);
    if (!term.isKeeping) return;
    const readEarly = earlyReaders.get(term) ?? earlyReaderOf(term, this);
    earlyReaders.set(term, readEarly);
    readEarly(record);
  };
  replace(prototype, 'append', mutant);
}
