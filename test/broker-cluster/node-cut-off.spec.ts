// A node of a cluster of brokers is cut off from the others, with Roger's nodes connected to it, and healed.
import { setTimeout as sleep } from 'node:timers/promises';
import { BrokerOutage, IS_LONG } from '../support/broker-outage';
import { MAX_ANSWER_MS, MAX_GAP_MS } from '../support/outage-figures';

const JOBS_PER_SECOND = 60;
const ROUNDS = 3;
const CUT_OFF_MS = 20_000;
/** A node is asked for its health five times a second, and it may have been unready for a moment before. */
const NOTICED_US = 5_000_000;
const LIMIT_MS = 900_000;

// A skip for the time that it takes: in the short form test/keys/cluster.spec.ts cuts one off.
(IS_LONG ? describe : describe.skip)('in the long form', () => {
  test(
    'a broker node that is cut off and healed costs no job, lets none run twice at once or out of order, and who was connected to it says so until it works again',
    async () => {
      const outage = await BrokerOutage.begin('node cut off', JOBS_PER_SECOND);
      for (let round = 1; round <= ROUNDS; round++) {
        const leader = await outage.leaderOfMost();
        await outage.harm(() => outage.cluster.cutOff(leader));
        outage.load.beginPartition(`late-${round}`);
        await sleep(CUT_OFF_MS);
        await outage.mend(() => outage.cluster.heal());
        await sleep(CUT_OFF_MS / 2);
      }
      const { violations, counts, gapMs, answers, events } = await outage.end();
      expect(violations).toEqual([]);
      expect(gapMs).toBeLessThanOrEqual(MAX_GAP_MS);
      expect(answers.slowestMs).toBeLessThanOrEqual(MAX_ANSWER_MS);
      // That it is ready again when all is over is one of the promises.
      const disconnected = events.filter(({ what }) => what === 'disconnected');
      expect(disconnected.length).toBeGreaterThan(0);
      for (const { node, at } of disconnected) {
        const said = events.some(
          (event) => event.what === 'unready' && event.node === node && Math.abs(event.at - at) < NOTICED_US,
        );
        expect({ node, said }).toEqual({ node, said: true });
      }
      expect(counts.enqueued).toBeGreaterThan(ROUNDS * 200);
      await outage.close();
    },
    LIMIT_MS,
  );
});
