// Jest reads `testTimeout` from the root only; this gives broker tests theirs and leaves unit tests at five seconds.
jest.setTimeout(120_000);
