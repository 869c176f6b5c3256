// What this package offers: a RabbitMQ node or cluster of one's own, and RabbitMQ itself where it is missing.
export { ensureRabbitmq } from './ensure-rabbitmq';
export { findRabbitmq } from './find-rabbitmq';
export type { PrivateCluster, PrivateClusterOptions } from './private-cluster';
export { startPrivateCluster } from './private-cluster';
export type { PrivateRabbitmq, PrivateRabbitmqOptions } from './private-rabbitmq';
export { startPrivateRabbitmq } from './private-rabbitmq';
