// How long a run may take: by its own word, and never so long that the broker takes the job away.
import type { JobDefinition } from '../job/job-definition';
import type { RunLimits } from './run-limits';
import { brokerLimit, ownLimit, warningsOf } from './run-limits';

const NONE: RunLimits = {
  maxExecutionTimeSeconds: undefined,
  abortGraceMs: 1_000,
  brokerConsumerTimeoutMs: undefined,
};
const BROKER: RunLimits = { ...NONE, brokerConsumerTimeoutMs: 1_800_000 };

function definition(maxExecutionTimeSeconds?: number): JobDefinition {
  const jobClass = class {
    perform(): void {
      // Nobody calls it.
    }
  };
  return {
    name: `${maxExecutionTimeSeconds ?? 'no'} s`,
    jobClass,
    queue: 'default',
    argsClass: undefined,
    retryable: true,
    retryLevels: undefined,
    maxExecutionTimeSeconds,
  };
}

test("a definition's limit counts before the module's", () => {
  const limits = { ...NONE, maxExecutionTimeSeconds: 5 };
  expect(ownLimit(definition(0.5), limits)?.afterMs).toBe(500);
  expect(ownLimit(definition(), limits)?.afterMs).toBe(5_000);
  expect(ownLimit(definition(), NONE)).toBeUndefined();
});

test('a run without a limit is ended, grace and all, a minute before the broker would take its job', () => {
  const limit = brokerLimit(BROKER, 0);
  expect(limit?.afterMs).toBe(1_800_000 - 60_000 - 1_000);
  expect(limit?.error().message).toContain('consumer_timeout');
  expect(brokerLimit(NONE, 0)).toBeUndefined();
});

test('the time counts from the delivery, not from the start of the run', () => {
  expect(brokerLimit(BROKER, 10_000)?.afterMs).toBe(1_729_000);
  expect(brokerLimit(BROKER, 10 ** 9)?.afterMs).toBe(0);
});

test('where the broker is impatient, half its time is left to settle', () => {
  expect(brokerLimit({ ...NONE, brokerConsumerTimeoutMs: 60_000 }, 0)?.afterMs).toBe(30_000);
});

test('a definition that may run longer than the broker lets it is named, with what to set', () => {
  const warnings = warningsOf([definition(3_600), definition(60), definition()], BROKER);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(/^Job 3600 s may run 3600 s .* brokerConsumerTimeoutMs/);
  expect(warningsOf([definition(3_600)], NONE)).toEqual([]);
});
