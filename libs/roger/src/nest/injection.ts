// The tokens under which a named module's services are injected.
import { Inject } from '@nestjs/common';
import type { Class } from '../job/job-definition';

/** The token of a service of a named module instance; of the unnamed one it is the class itself. */
export function rogerToken(service: Class, instance: string | undefined): Class | string {
  return instance === undefined ? service : `roger:${instance}:${service.name}`;
}

/**
 * Injects a service of a named module instance.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { InjectRoger, JobQueue } from 'nestjs-roger';
 *
 * \@Injectable()
 * export class Invoices {
 *   constructor(\@InjectRoger(JobQueue, 'billing') readonly jobs: JobQueue) {}
 * }
 * ```
 */
export function InjectRoger(service: Class, instance?: string): ParameterDecorator & PropertyDecorator {
  return Inject(rogerToken(service, instance));
}
