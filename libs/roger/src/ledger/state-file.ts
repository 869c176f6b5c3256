// The content of a state's file: one line that says what follows, then the bytes.
import { createHash } from 'node:crypto';
import { show } from '../job/errors';

const MAGIC = 'roger-ledger-state';
const VERSION = 1;
/** No line of ours is longer. */
const LONGEST_LINE = 300;

const LINE = /^roger-ledger-state (\d{1,9}) (.*)$/;
/** The id, the number of bytes, and their checksum. */
const LINE_OF_VERSION_1 = /^([A-Za-z0-9_.-]{1,128}) (\d{1,15}) ([0-9a-f]{64})$/;

export function encodeStateFile(id: string, data: Uint8Array): Buffer {
  const line = `${MAGIC} ${VERSION} ${id} ${data.byteLength} ${sha256(data)}\n`;
  return Buffer.concat([Buffer.from(line), data]);
}

/** The bytes, when all of the content is as it was written for this id; else what is wrong with it. */
export function decodeStateFile(
  id: string,
  content: Buffer,
): { readonly data: Uint8Array } | { readonly problem: string } {
  if (content.length === 0) return { problem: 'it is empty' };
  const end = content.subarray(0, LONGEST_LINE).indexOf('\n');
  const [, version, rest = ''] = LINE.exec(content.subarray(0, Math.max(end, 0)).toString('latin1')) ?? [];
  if (version === undefined) return { problem: 'it does not begin like a state of Roger, or is cut off' };
  if (version !== String(VERSION)) {
    return { problem: `it is of format version ${version}; this version of Roger reads ${VERSION}` };
  }
  const [, writtenId, length, checksum] = LINE_OF_VERSION_1.exec(rest) ?? [];
  if (writtenId === undefined) return { problem: 'its first line is damaged' };
  if (writtenId !== id) return { problem: `it is the state of ledger ${show(writtenId)}` };
  const data = content.subarray(end + 1);
  if (data.length !== Number(length)) {
    return { problem: `it holds ${data.length} bytes of state where ${length} were written` };
  }
  if (sha256(data) !== checksum) return { problem: 'its bytes do not fit their checksum' };
  return { data };
}

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}
