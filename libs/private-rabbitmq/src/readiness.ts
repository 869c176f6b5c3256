// Asks a starting node whether it serves its clients yet.
import { get } from 'node:http';
import { connect } from 'node:net';

const PROTOCOL_HEADER = Buffer.from([...Buffer.from('AMQP'), 0, 0, 9, 1]);
/** First byte of the method frame that greets a client. */
const METHOD_FRAME = 1;
const ANSWER_TIMEOUT_MS = 1_000;

/** Whether the node greets an AMQP client. It opens its listeners last, when queues and plugins are up. */
export function servesAmqp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const answer = (serves: boolean): void => {
      socket.destroy();
      resolve(serves);
    };
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => answer(false));
    socket.once('error', () => answer(false));
    socket.once('close', () => answer(false));
    socket.once('connect', () => socket.write(PROTOCOL_HEADER));
    socket.once('data', (data) => answer(data[0] === METHOD_FRAME));
  });
}

/** Whether the management plugin answers its HTTP API. */
export function servesManagement(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(
      {
        port,
        host: '127.0.0.1',
        path: '/api/overview',
        auth: 'guest:guest',
        agent: false,
        timeout: ANSWER_TIMEOUT_MS,
      },
      (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      },
    );
    request.once('timeout', () => request.destroy(new Error('no answer in time')));
    request.once('error', () => resolve(false));
  });
}
