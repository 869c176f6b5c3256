// The public names, one by one.
export { ClusterService } from './cluster/cluster.service';
export type { ClusterChange, ClusterNode } from './cluster/cluster.service';
export type { CommandContext } from './cluster/command-answers';
export type { CallOptions, CallResult } from './cluster/command-calls';
export type { CronOptions } from './cron/cron-definition';
export { CronService } from './cron/cron.service';
export type { RecurringJobStatus, RunNowResult, ScheduleOptions } from './cron/cron.service';
export { JobQueue } from './enqueue/job-queue';
export type { EnqueueDuplicate, EnqueueFailure, EnqueueManyResult } from './enqueue/batch';
export type { AwaitableEnqueueResult, EnqueueOptions, EnqueueResult } from './enqueue/job-queue';
export { RogerHealth } from './health/roger-health';
export type { HealthOptions, HealthReport, HealthStatus, WaitingQueue } from './health/roger-health';
export { RogerHealthIndicator } from './health/roger-health.indicator';
export type { RogerIndicatorResult } from './health/roger-health.indicator';
export { InfoService } from './info/info.service';
export type {
  ClusterPartition,
  ClusterPartitions,
  ClusterQueue,
  ClusterQueues,
  ClusterRunningJob,
  ClusterRunningJobs,
  QueueRates,
} from './info/cluster-reports';
export { JobDefinitions } from './info/job-definitions.service';
export type { AliasOptions } from './info/job-definitions.service';
export type { KeyedJobCounts, KeyedJobs, QueuedJobs, WaitingJob } from './info/info.service';
export { NodeInfoService } from './info/node-info.service';
export type { PartitionInfo, RunningJob } from './info/node-info.service';
export {
  BrokerBlockedError,
  BrokerRefusedError,
  BrokerUnavailableError,
  CannotServeError,
  CommandFailedError,
  CommandRefusedError,
  DeliveryLostError,
  DuplicateCommandError,
  DuplicateJobDefinitionError,
  EnqueueBufferFullError,
  InvalidArgumentError,
  InvalidCommandError,
  InvalidEnqueueOptionsError,
  InvalidJobArgsError,
  InvalidJobDefinitionError,
  InvalidOptionsError,
  JobCancelledError,
  JobCrashedError,
  JobDefinitionInactiveError,
  JobTimeoutError,
  JobFailedError,
  JobNotFinishedError,
  JobResultUnavailableError,
  JobTooLargeError,
  LedgerFullError,
  LedgerShardsMismatchError,
  LedgerStateError,
  LedgerUnavailableError,
  MalformedJobError,
  ManagementUnavailableError,
  MisroutedJobError,
  NoJournalError,
  NotAJobClassError,
  NotConnectedError,
  QueueFullError,
  QueueNotAnsweringError,
  QueueNotFoundError,
  RogerClosedError,
  RogerError,
  ShutdownError,
  TopologyMismatchError,
  UnknownCommandError,
  UnknownJobError,
  UnknownPartitionError,
} from './job/errors';
export { DefinitionGates } from './job/definition-gates';
export type { Problem } from './job/errors';
export type { Job, ReplyTo } from './job/job';
export type { EndReason, HeldRelease, JobEnd, JobRecorder, RunRecord } from './job/job-recorder';
export { KeySet } from './job/key-set';
export type { QueueAddress } from './job/names';
export type {
  ArgsOf,
  Class,
  JobArgs,
  JobClass,
  JobContext,
  JobDefinition,
  JobHandler,
  JobOptions,
  JsonOf,
  ResultOf,
  RetryLevels,
  RetryRule,
} from './job/job-definition';
export { BuryJob, DiscardJob, RetryJob, SnoozeJob } from './job/verdicts';
export type { RogerLog } from './job/log';
export { FileStatePersister } from './ledger/file-state-persister';
export type { FileStatePersisterOptions } from './ledger/file-state-persister';
export { MemoryStatePersister } from './ledger/memory-state-persister';
export { RabbitStatePersister } from './ledger/rabbit-state-persister';
export type { StatePersister } from './ledger/state-persister';
export { ROGER_CONTEXT } from './nest/enhancers';
export { InjectRoger, rogerToken } from './nest/injection';
export { RogerCallbacks } from './nest/roger-callbacks.decorator';
export { RogerCommand } from './nest/roger-command.decorator';
export { RogerCron } from './nest/roger-cron.decorator';
export { RogerJob } from './nest/roger-job.decorator';
export { BuriedJobs } from './partition/buried-jobs.service';
export type {
  BuriedEntry,
  BuriedFilter,
  RetryAllBuriedResult,
  RetryBuriedResult,
} from './partition/buried-jobs.service';
export { isJobThread } from './nest/threads/job-thread';
export type { ThreadOptions, ThreadResourceLimits } from './nest/threads/thread-options';
export { GlobalStateService } from './partition/global-state.service';
export type {
  CancelResult,
  HeldJob,
  HoldResult,
  PauseResult,
  ReleaseResult,
} from './partition/global-state.service';
export type { OutcomeCounts } from './partition/lane';
export type { PartitionsFactory, PartitionsProvider } from './nest/partition-source-option';
export type { PartitionState } from './partition/partition';
export type { PartitionChange, PartitionSource } from './partition/partition-source';
export { PartitionService } from './partition/partition.service';
export type { LaneStatus, StopOptions } from './partition/partition.service';
export type { PartitionQueues, PartitionQueuesById, QueueOptions } from './partition/queue-options';
export type { FinishedOptions } from './reports/awaited-jobs';
export { JobRecorders } from './reports/job-recorders';
export type { JobProgress, ProgressListener } from './reports/progress-watches';
export { RogerModule } from './roger.module';
export type { RogerModuleExtras } from './roger.module';
export type { JournalOptions, RogerModuleOptions } from './roger.options';
export type { BuriedReason, LevelDepths, QueueDepth, QueueDetails, TransportState } from './transport';
export { MemoryBroker } from './transports/memory/memory-broker';
export type { MemoryBrokerOptions } from './transports/memory/memory-broker';
export type { BuriedJob } from './transports/memory/stored-job';
export type { RabbitmqConnectionOptions } from './transports/rabbitmq/connection-options';
export type {
  AfterFailure,
  AfterRunEvent,
  BeforeRunEvent,
  BuriedEvent,
  CancelEvent,
  ErrorEvent,
  WorkerCallbacks,
} from './worker/callbacks';
export type { Outcome } from './worker/outcome';
