// The public names, one by one.
export type { JsonSchema } from './catalogue/args-schema';
export type { CataloguedJob } from './catalogue/catalogued-job';
export { JobCatalog } from './catalogue/job-catalog.service';
export type { CatalogueChange, NewDefinition } from './catalogue/job-catalog.service';
export { TakesRuntimeDefinitions } from './catalogue/takes-runtime-definitions.decorator';
export type { DatabaseOptions, RetentionOptions, RogerEngineOptions } from './engine.options';
export { JobRecords } from './history/job-records.service';
export type { JobFilter, JobRecord } from './history/job-records.service';
export { JobStatistics } from './history/job-statistics.service';
export type { Durations, HourlyStatistics, StatisticsFilter } from './history/job-statistics.service';
export type { Page, PageOptions } from './history/page';
export { RunHistory } from './history/run-history.service';
export type { JobRun, RecordedReason, RunFilter } from './history/run-history.service';
export type { ArgsRecording } from './records/job-facts';
export type { AfterRun, JobState, RunResult } from './records/rows';
export { RogerEngineModule } from './roger-engine.module';
export type { RogerEngineExtras } from './roger-engine.module';
export type { WriterStatus } from './writer/history-writer';
