// What everything on the ledgers' connection is made of.
import type { RogerLog } from '../../job/log';
import type { BrokerConnection } from './broker-connection';
import type { BrokerNames } from './broker-names';
import type { JournalWriter } from './journal/journal-writer';
import type { Topology } from './topology';

export interface LedgerParts {
  readonly nodeId: string;
  readonly names: BrokerNames;
  readonly topology: Topology;
  readonly connection: BrokerConnection;
  readonly log: RogerLog;
  /** Where queues have journals. */
  readonly journal: JournalWriter | undefined;
}
