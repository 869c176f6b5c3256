// Stops the private RabbitMQ of the run.
export default async function stopBroker(): Promise<void> {
  await globalThis.sharedBroker?.stop();
}
