// A job can't be made again of its record.
import { RogerError } from 'nestjs-roger';

/**
 * The operation needs the whole job, and its args were not recorded (`argsRecording`), or were larger than
 * `maxRecordedBytes`. Nothing was done.
 */
export class ArgsNotRecordedError extends RogerError {
  readonly code = 'ROGER_ARGS_NOT_RECORDED';

  constructor(readonly jobId: string) {
    super(
      `The args of job ${JSON.stringify(jobId)} were not recorded, so it can't be sent again; set argsRecording: 'full', ` +
        'and maxRecordedBytes above the size of its args',
    );
  }
}
