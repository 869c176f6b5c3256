// What a child app runs. Started by ChildApp; its settings are its first argument.
import 'reflect-metadata';
import type { LoggerService } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { RogerModuleOptions } from 'nestjs-roger';
import { PartitionService, RogerModule } from 'nestjs-roger';
import type { Order, Report } from './child-app';
import type { Sighting } from './work';
import { Witness, Work } from './work';

interface Settings {
  readonly node: string;
  readonly roger: RogerModuleOptions;
  readonly isStartEnough: boolean;
}

const settings = JSON.parse(process.argv[2] ?? '{}') as Settings;

class Telling extends Witness {
  readonly node = settings.node;
  see(sighting: Sighting): void {
    tell({ kind: 'sighting', sighting });
  }
}

@Module({
  imports: [RogerModule.forRoot(settings.roger)],
  providers: [Work, { provide: Witness, useClass: Telling }],
})
class ChildModule {}

function tell(report: Report): void {
  process.send?.(report);
}

function line(level: string): (message: unknown) => void {
  return (message) => {
    tell({ kind: 'line', level, message: String(message) });
  };
}

const logger: LoggerService = { log: line('log'), warn: line('warn'), error: line('error') };

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(ChildModule, { logger });
  app.enableShutdownHooks();
  process.on('message', (_order: Order) => {
    void app.close().then(() => {
      tell({ kind: 'closed' });
    });
  });
  // The parent's end is ours; its presence alone must not keep us alive.
  process.once('disconnect', () => process.exit(1));
  process.channel?.unref();
  const partitions = app.get(PartitionService);
  while (!settings.isStartEnough && !partitions.ids.every((id) => partitions.isRunning(id))) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  tell({ kind: 'started' });
}

void main();
