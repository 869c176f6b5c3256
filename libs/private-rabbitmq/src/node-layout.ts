// Lays out one node: its name, its ports, its files, and the environment that keeps RabbitMQ to them.
import { randomBytes } from 'node:crypto';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port';

/** Where a node stands in a cluster. */
export interface ClusterPlace {
  readonly nodename: string;
  /**
   * The loopback address for its Erlang distribution, and the host part of its name. All nodes of a cluster use one port,
   * each on its own address: so they find each other without epmd.
   */
  readonly address: string;
  readonly distributionPort: number;
  readonly cookie: string;
}

/** What is fixed for a node's whole life, over all its restarts. */
export interface NodeLayout {
  /** Holds everything that the node writes. */
  readonly folder: string;
  readonly nodename: string;
  readonly port: number;
  /** The address on which the node's Erlang distribution listens. */
  readonly distributionAddress: string;
  /** Where `rabbitmqctl` reaches the node. */
  readonly distributionPort: number;
  /** Undefined without the management plugin. */
  readonly managementPort: number | undefined;
  /** What the node prints: its banner, its warnings and why it failed to start. */
  readonly logFile: string;
}

/** What of the layout the caller decides. */
export interface LayoutWishes {
  readonly management: boolean;
  readonly configuration: Readonly<Record<string, string>>;
  /** The text of `advanced.config`; undefined: there is none. */
  readonly advancedConfiguration?: string | undefined;
  /** Undefined for a node that stands alone. */
  readonly place?: ClusterPlace | undefined;
}

const LOOPBACK = '127.0.0.1';

/** Chooses name and ports and writes the folder. */
export async function layOutNode(wishes: LayoutWishes): Promise<NodeLayout> {
  const folder = await mkdtemp(join(tmpdir(), 'private-rabbitmq-'));
  const port = await freePort([]);
  const { place } = wishes;
  const distributionPort = place?.distributionPort ?? (await freePort([port]));
  const managementPort = wishes.management ? await freePort([port, distributionPort]) : undefined;
  const nodename = place?.nodename ?? newNodename('localhost');

  // Erlang refuses a cookie that others may read.
  await writeFile(join(folder, '.erlang.cookie'), place?.cookie ?? newCookie(), { mode: 0o400 });
  await writeFile(join(folder, 'enabled_plugins'), wishes.management ? '[rabbitmq_management].\n' : '[].\n');
  const configuration = {
    ...(managementPort === undefined
      ? {}
      : { 'management.tcp.ip': '127.0.0.1', 'management.tcp.port': String(managementPort) }),
    ...wishes.configuration,
  };
  const { advancedConfiguration } = wishes;
  if (advancedConfiguration !== undefined)
    await writeFile(join(folder, 'advanced.config'), advancedConfiguration);
  const lines = Object.entries(configuration).map(([key, value]) => `${key} = ${value}\n`);
  // Reading a rabbitmq.conf lengthens the start by a fifth, and RabbitMQ's defaults suit us.
  if (lines.length > 0) await writeFile(join(folder, 'rabbitmq.conf'), lines.join(''));
  return {
    folder,
    nodename,
    port,
    distributionAddress: place?.address ?? LOOPBACK,
    distributionPort,
    managementPort,
    logFile: join(folder, 'node.log'),
  };
}

/** A name that no other node has. */
export function newNodename(host: string): string {
  return `private-${randomBytes(6).toString('hex')}@${host}`;
}

/** A secret that nodes must share to talk with each other. */
export function newCookie(): string {
  return randomBytes(20).toString('hex');
}

/** The environment for the server and for rabbitmqctl; nothing of RabbitMQ's or Erlang's own is inherited. */
export function environmentOf(layout: NodeLayout): NodeJS.ProcessEnv {
  const within = (name: string): string => join(layout.folder, name);
  // On a port that rabbitmqctl knows, the node is found without epmd, a daemon that would outlive it.
  const meetingPoint = `-erl_epmd_port ${layout.distributionPort}`;
  // A host name with dots is a long one for Erlang.
  const isLongName = layout.nodename.includes('.');
  return {
    PATH: [process.env['PATH'], '/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'].filter(Boolean).join(':'),
    LANG: 'C.UTF-8',
    HOME: layout.folder,
    ERL_CRASH_DUMP_SECONDS: '0',
    // For every Erlang VM, because RabbitMQ looks for epmd each minute and would start it through another VM.
    ERL_AFLAGS: '-start_epmd false',
    // Nobody listens there: an epmd of the machine's own RabbitMQ isn't to hear of this node.
    ERL_EPMD_PORT: '1',
    // Makes the script become the Erlang VM, whose pid is ours then, and leave the signals to it.
    RUNNING_UNDER_SYSTEMD: 'true',
    RABBITMQ_NODENAME: layout.nodename,
    RABBITMQ_USE_LONGNAME: String(isLongName),
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(layout.port),
    RABBITMQ_MNESIA_BASE: within('data'),
    RABBITMQ_LOG_BASE: within('log'),
    RABBITMQ_LOGS: '-',
    RABBITMQ_LOG: 'warning',
    RABBITMQ_PID_FILE: within('pid'),
    RABBITMQ_ENABLED_PLUGINS_FILE: within('enabled_plugins'),
    RABBITMQ_CONFIG_FILE: within('rabbitmq.conf'),
    RABBITMQ_CONFIG_FILES: within('conf.d'),
    RABBITMQ_ADVANCED_CONFIG_FILE: within('advanced.config'),
    RABBITMQ_CONF_ENV_FILE: within('rabbitmq-env.conf'),
    RABBITMQ_GENERATED_CONFIG_DIR: within('generated-config'),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: [
      // Being named already, the node doesn't look for epmd.
      `${isLongName ? '-name' : '-sname'} ${layout.nodename}`,
      meetingPoint,
      `-kernel inet_dist_use_interface {${layout.distributionAddress.replaceAll('.', ',')}}`,
      '+S 2:2',
      // RabbitMQ's own `none` makes threads sleep between any two steps, which doubles the start.
      '+sbwt very_short +sbwtdio very_short',
    ].join(' '),
    RABBITMQ_CTL_ERL_ARGS: `${meetingPoint} -dist_listen false`,
  };
}
