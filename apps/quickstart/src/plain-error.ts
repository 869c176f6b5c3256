// A problem that one sentence explains; its stack would help nobody.
export class PlainError extends Error {}
