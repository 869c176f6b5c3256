// All nodes of a cluster of brokers are restarted one after the other, as for an upgrade, while Roger works on.
import { setTimeout as sleep } from 'node:timers/promises';
import { BrokerOutage, IS_LONG } from '../support/broker-outage';
import { MAX_ANSWER_MS, MAX_GAP_MS } from '../support/outage-figures';

const JOBS_PER_SECOND = 60;
const ROUNDS = 3;
const BETWEEN_MS = 3_000;
const LIMIT_MS = 900_000;

// A skip for the time that it takes: in the short form test/keys/cluster.spec.ts stops nodes and cuts them off.
(IS_LONG ? describe : describe.skip)('in the long form', () => {
  test(
    'a rolling restart of all broker nodes loses no job, lets none run twice at once or out of order, and stops the service for 10 s at most',
    async () => {
      const outage = await BrokerOutage.begin('rolling restart', JOBS_PER_SECOND);
      const { cluster, load } = outage;
      for (let round = 1; round <= ROUNDS; round++) {
        for (const [index, node] of cluster.nodes.entries()) {
          // Some operators do without it, and it takes its time.
          await outage.harm(() => Promise.resolve());
          await outage.mend(async () => {
            const restarted = cluster.restart(node, { drain: (index + round) % 3 !== 0 });
            load.beginPartition(`late-${round}-${index}`);
            await restarted;
          });
          await sleep(BETWEEN_MS);
        }
      }
      const { violations, counts, gapMs, answers, events } = await outage.end();
      expect(violations).toEqual([]);
      expect(gapMs).toBeLessThanOrEqual(MAX_GAP_MS);
      expect(answers.slowestMs).toBeLessThanOrEqual(MAX_ANSWER_MS);
      // Each broker node had one connected to it.
      const nodes = events.flatMap(({ what, node }) => (what === 'disconnected' ? [node] : []));
      expect(new Set(nodes)).toEqual(new Set(['producer', 'worker-1', 'worker-2']));
      expect(counts.enqueued).toBeGreaterThan(ROUNDS * 200);
      await outage.close();
    },
    LIMIT_MS,
  );
});
