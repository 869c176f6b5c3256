// What this package offers: a PostgreSQL server of one's own, and PostgreSQL itself where it is missing.
export { ensurePostgres } from './ensure-postgres';
export { findPostgres } from './find-postgres';
export type { PrivatePostgres } from './private-postgres';
export { startPrivatePostgres } from './private-postgres';
