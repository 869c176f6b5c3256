// A node of a cluster of brokers dies without a word and comes back.
import { setTimeout as sleep } from 'node:timers/promises';
import { BrokerOutage, IS_LONG } from '../support/broker-outage';
import { MAX_ANSWER_MS, MAX_GAP_MS } from '../support/outage-figures';

const JOBS_PER_SECOND = 60;
const ROUNDS = 6;
const DEAD_MS = 8_000;
const LIMIT_MS = 900_000;

// A skip for the time that it takes: in the short form test/keys/cluster.spec.ts kills one.
(IS_LONG ? describe : describe.skip)('in the long form', () => {
  test(
    'a broker node that leads most queues and is killed costs no job, lets none run twice at once or out of order, and stops the service for 10 s at most',
    async () => {
      const outage = await BrokerOutage.begin('node killed', JOBS_PER_SECOND);
      for (let round = 1; round <= ROUNDS; round++) {
        const leader = await outage.leaderOfMost();
        await outage.harm(() => leader.kill());
        outage.load.beginPartition(`late-${round}`);
        await sleep(DEAD_MS);
        await outage.mend(async () => {
          await leader.start();
          await leader.upgrade('await_online_quorum_plus_one');
        });
      }
      const { violations, counts, gapMs, answers, events } = await outage.end();
      expect(violations).toEqual([]);
      expect(gapMs).toBeLessThanOrEqual(MAX_GAP_MS);
      expect(answers.slowestMs).toBeLessThanOrEqual(MAX_ANSWER_MS);
      expect(events.filter(({ what }) => what === 'disconnected').length).toBeGreaterThan(0);
      expect(counts.enqueued).toBeGreaterThan(ROUNDS * 200);
      await outage.close();
    },
    LIMIT_MS,
  );
});
