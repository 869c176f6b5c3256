// The broker takes away what is not settled in time, and would give it out for ever: a run ends before that.
import { RogerJob } from 'nestjs-roger';
import { eventually, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { Told } from '../support/stubborn';
import { Work } from '../support/work';

const connection = { uri: sharedBrokerUri() };

@RogerJob({ name: 'marathon', maxExecutionTimeSeconds: 3_600 })
class Marathon {
  perform(): void {
    // Only its definition matters.
  }
}

test('a run without a limit is aborted before the broker would take its job away, and says what to set', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const app = await startApp(
    {
      connection,
      brokerConsumerTimeoutMs: 1_000,
      retryLevels: [1],
      partitions: { [partition]: { default: 1 } },
    },
    [Work, Told, sightings.of('node')],
  );
  await app.jobs.enqueue(Work, { isHeld: true }, { partition, id: 'slow' });
  await sightings.seenOf('slow', 'aborted');
  await eventually('its failure', () => app.app.get(Told).errors.length === 1);
  expect(app.app.get(Told).errors[0]).toMatchObject({
    error: { code: 'ROGER_JOB_TIMEOUT', limitMs: 500 },
    next: { kind: 'retry' },
  });
  expect(app.log.messages('warn').join()).toContain('raise its consumer_timeout and brokerConsumerTimeoutMs');
});

test('a definition that may run longer than the broker lets it is warned of at the start', async () => {
  const app = await startApp({ connection, partitions: { [uniquePartition()]: { default: 1 } } }, [Marathon]);
  expect(app.log.messages('warn')).toEqual([expect.stringMatching(/^Job marathon may run 3600 s/)]);
});
