// Fails a suite that is about to run on another Nest. It lies outside nest12/, so that only the mapping can lead it there.
const { version } = require('@nestjs/core/package.json');

if (!version.startsWith('12.')) throw new Error(`This suite must run on Nest 12, and Nest is ${version}`);
