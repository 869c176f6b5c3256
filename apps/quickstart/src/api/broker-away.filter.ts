// Answers 503 while the broker can't take jobs: the client may try again later.
import { Catch, ServiceUnavailableException, type ArgumentsHost } from '@nestjs/common';
import { BaseExceptionFilter } from '@nestjs/core';
import {
  BrokerBlockedError,
  BrokerUnavailableError,
  EnqueueBufferFullError,
  QueueFullError,
} from 'nestjs-roger';

@Catch(BrokerBlockedError, BrokerUnavailableError, EnqueueBufferFullError, QueueFullError)
export class BrokerAwayFilter extends BaseExceptionFilter {
  override catch(error: Error, host: ArgumentsHost): void {
    super.catch(new ServiceUnavailableException(error.message), host);
  }
}
