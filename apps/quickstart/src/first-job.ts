// The first job: what it does, where it runs, and how it is enqueued.
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { IsEmail } from 'class-validator';
import { JobQueue, RogerJob, RogerModule, type JobHandler } from 'nestjs-roger';

class Greeting {
  @IsEmail() address!: string;
}

@RogerJob({ name: 'greeting', args: Greeting })
class GreetingJob implements JobHandler<Greeting> {
  perform({ address }: Greeting): void {
    console.log(`Welcome, ${address}!`);
  }
}

@Module({
  // Without a connection, jobs stay in memory. On a broker: connection: { uri: 'amqp://localhost' }
  imports: [RogerModule.forRoot({ partitions: { acme: { default: 10 } } })],
  providers: [GreetingJob],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule);
  app.enableShutdownHooks();
  await app.get(JobQueue).enqueue(GreetingJob, { address: 'ada@example.com' }, { partition: 'acme' });
}
void main();
