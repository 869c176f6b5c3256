// Makes any text fit for any database: PostgreSQL takes neither NUL nor half of a surrogate pair.

const NUL = /\0/g;
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** At most so many UTF-16 units of it. What is asked for goes through here too, to be found as it was kept, or not at all. */
export function plainText(text: string, maxLength = Infinity): string {
  const short = text.length > maxLength ? `${text.slice(0, maxLength - 1)}…` : text;
  return short.replace(NUL, '\ufffd').replace(LONE_SURROGATE, '\ufffd');
}
