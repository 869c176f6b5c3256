// Finds RabbitMQ's own scripts on this machine.
import { accessSync, constants, realpathSync } from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';

/** Where packages put the scripts; often not on an ordinary user's PATH. */
const PACKAGE_FOLDERS = ['/usr/lib/rabbitmq/bin', '/usr/sbin'];

/** Debian's and Red Hat's guard, which runs the script as the user `rabbitmq`, in that user's folders. */
const WRAPPER = 'rabbitmq-script-wrapper';

/**
 * The path of the script `rabbitmq-server`, or undefined where RabbitMQ isn't installed. It is the script itself,
 * which any user may run, also where the one on PATH is a wrapper that only root and the user `rabbitmq` may.
 */
export function findRabbitmq(): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter).filter(Boolean), ...PACKAGE_FOLDERS];
  for (const folder of folders) {
    const script = behindWrapper(join(folder, 'rabbitmq-server'));
    if (script !== undefined) return script;
  }
  return undefined;
}

/** The same. @throws where RabbitMQ isn't installed */
export function installedRabbitmq(): string {
  const server = findRabbitmq();
  if (server === undefined) {
    throw new Error('RabbitMQ is not installed: no rabbitmq-server on the PATH nor where packages put it.');
  }
  return server;
}

/** The path of a tool such as `rabbitmqctl` that belongs to a server script. */
export function toolBeside(server: string, tool: 'rabbitmqctl' | 'rabbitmq-upgrade'): string {
  return join(dirname(server), tool);
}

function behindWrapper(path: string): string | undefined {
  if (!isExecutable(path)) return undefined;
  const real = realpathSync(path);
  if (basename(real) !== WRAPPER) return path;
  const wrapped = join(dirname(real), basename(path));
  return isExecutable(wrapped) ? wrapped : undefined;
}

/** Whether a file is there that this user may execute. */
function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
