import type { ConsumeMessage } from 'amqplib';
import { CONTENT_TYPE } from '../../../job/job-codec';
import { bodyOfNote, NOTE_PROPERTIES, propertiesOfEntry, recordOf } from './journal-records';

function message(content: Buffer, properties: object): ConsumeMessage {
  return { content, properties, fields: {} } as ConsumeMessage;
}

test('what is written is read again', () => {
  const entry = { token: 'a1', lane: 'express', sentAt: 5, dueAt: 9 } as const;
  const body = Buffer.from('{}');
  expect(recordOf(message(body, propertiesOfEntry(entry)))).toEqual({ kind: 'entered', ...entry, body });
  const plain = { token: 'a2', lane: 'normal', sentAt: 5, dueAt: undefined } as const;
  expect(recordOf(message(body, propertiesOfEntry(plain)))).toEqual({ kind: 'entered', ...plain, body });
  for (const note of [
    { kind: 'left', tokens: ['a', 'b'] },
    { kind: 'emptied', lane: 'normal', at: 7 },
    { kind: 'mark', mark: 'm' },
  ] as const) {
    expect(recordOf(message(bodyOfNote(note), NOTE_PROPERTIES))).toEqual(note);
  }
});

test.each<[string, unknown, object]>([
  ['no JSON', '{', NOTE_PROPERTIES],
  ['null', 'null', NOTE_PROPERTIES],
  ['another kind', '{"kind":"other"}', NOTE_PROPERTIES],
  ['tokens that are none', '{"kind":"left","tokens":[1]}', NOTE_PROPERTIES],
  ['a lane that is none', '{"kind":"emptied","lane":"x","at":1}', NOTE_PROPERTIES],
  ['a moment that is none', '{"kind":"emptied","lane":"normal","at":"1"}', NOTE_PROPERTIES],
  ['a mark that is none', '{"kind":"mark"}', NOTE_PROPERTIES],
  ['another content type', '{}', { contentType: 'text/plain', correlationId: 'a' }],
  ['no token', '{}', { contentType: CONTENT_TYPE, headers: { sent: 1 } }],
  ['a huge token', '{}', { contentType: CONTENT_TYPE, correlationId: 'a'.repeat(65), headers: { sent: 1 } }],
  ['no time', '{}', { contentType: CONTENT_TYPE, correlationId: 'a' }],
  [
    'a due time that is none',
    '{}',
    { contentType: CONTENT_TYPE, correlationId: 'a', headers: { sent: 1, due: 'x' } },
  ],
])('%s is passed over', (_, content, properties) => {
  expect(recordOf(message(Buffer.from(String(content)), properties))).toBeUndefined();
});
