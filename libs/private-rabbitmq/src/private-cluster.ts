// Several private nodes in one RabbitMQ cluster, any of which can be killed, cut off from the others, and healed.
import { installedRabbitmq } from './find-rabbitmq';
import { freePort } from './free-port';
import type { ClusterPlace } from './node-layout';
import { layOutNode, newCookie, newNodename } from './node-layout';
import { DEFAULT_START_TIMEOUT_MS, PrivateRabbitmq } from './private-rabbitmq';

const RETRY_INTERVAL_MS = 200;
const HEAL_TIMEOUT_MS = 30_000;
/** Those of 127.0.0.0/8 are all loopback, on Linux. The first is where clients come, and single nodes meet. */
const FIRST_ADDRESS = 2;

/** How a private cluster is to be. */
export interface PrivateClusterOptions {
  /** @default 3 */
  readonly nodes?: number;
  /** What a node does that sees only a minority of the others: stop to serve until it sees more again, or go on. */
  readonly partitionHandling: 'pause_minority' | 'ignore';
  /** Further lines of `rabbitmq.conf`. @default none */
  readonly configuration?: Readonly<Record<string, string>>;
  /** The text of `advanced.config`: Erlang terms. @default none */
  readonly advancedConfiguration?: string;
  /** How long the start of one node may last, in ms. @default 60_000 */
  readonly startTimeoutMs?: number;
}

/**
 * Starts a RabbitMQ cluster of one's own, on loopback and in temporary folders. No node of it outlives the calling
 * process, however that ends. On Linux, for each node's Erlang has a loopback address of its own.
 *
 * @throws when RabbitMQ isn't installed, or when a node doesn't come up; the message ends with its last log lines
 * @example
 * const cluster = await startPrivateCluster({ partitionHandling: 'pause_minority' });
 * await cluster.nodes[0].kill();
 * await cluster.nodes[0].start();
 * await cluster.cutOff(cluster.nodes[1]);
 * await cluster.heal();
 * for (const node of cluster.nodes) await cluster.restart(node);
 * await cluster.stop();
 */
export async function startPrivateCluster(options: PrivateClusterOptions): Promise<PrivateCluster> {
  const { nodes: count = 3, partitionHandling, configuration = {}, startTimeoutMs } = options;
  const { advancedConfiguration } = options;
  const server = installedRabbitmq();
  const cookie = newCookie();
  const distributionPort = await freePort([]);
  const places = Array.from({ length: count }, (_, n): ClusterPlace => {
    const address = `127.0.0.${FIRST_ADDRESS + n}`;
    return { nodename: newNodename(address), address, distributionPort, cookie };
  });
  const nodes: PrivateRabbitmq[] = [];
  const cluster = new PrivateCluster(nodes, cookie);
  try {
    for (const place of places) {
      const layout = await layOutNode({
        management: false,
        configuration: { ...clusterConfiguration(places, partitionHandling), ...configuration },
        advancedConfiguration,
        place,
      });
      nodes.push(new PrivateRabbitmq(server, layout, startTimeoutMs ?? DEFAULT_START_TIMEOUT_MS));
    }
    await Promise.all(nodes.map((node) => node.start()));
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

function clusterConfiguration(
  places: readonly ClusterPlace[],
  partitionHandling: string,
): Record<string, string> {
  return {
    cluster_partition_handling: partitionHandling,
    'cluster_formation.peer_discovery_backend': 'classic_config',
    ...Object.fromEntries(
      places.map(({ nodename }, n) => [`cluster_formation.classic_config.nodes.${n + 1}`, nodename]),
    ),
  };
}

/** A RabbitMQ cluster of one's own; see {@link startPrivateCluster}. */
export class PrivateCluster {
  /** @internal */
  constructor(
    readonly nodes: readonly PrivateRabbitmq[],
    private readonly cookie: string,
  ) {}

  /** Where clients connect, one address per node. */
  get uris(): string[] {
    return this.nodes.map(({ uri }) => uri);
  }

  /**
   * Cuts a node off from all others, in both directions: their connections to it are closed and no new ones come about,
   * until {@link heal}. Clients reach it as before, as far as it still serves them. A node that is started again is not
   * cut off any more.
   */
  async cutOff(node: PrivateRabbitmq): Promise<void> {
    // One side that wants another cookie refuses whoever calls, and is refused where it calls.
    await this.setCookieBetween(node, `not-${this.cookie}`, 'erlang:disconnect_node(Peer)');
  }

  /**
   * Restarts a node as an operator does: waits until no quorum queue depends on it, has it hand over what it leads and its
   * clients (unless told not to), stops it in good order and starts it. Resolves when it serves; its quorum queues may
   * have to catch up yet, for which the restart of the next waits.
   */
  async restart(node: PrivateRabbitmq, { drain = true }: { readonly drain?: boolean } = {}): Promise<void> {
    await node.upgrade('await_online_quorum_plus_one');
    if (drain) await node.upgrade('drain');
    await node.stopGracefully();
    await node.start();
  }

  /** Lets all nodes see each other again; resolves when they do, whether they serve already or not. */
  async heal(): Promise<void> {
    const running = this.nodes.filter(({ isRunning }) => isRunning);
    await Promise.all(running.map((node) => this.setCookieBetween(node, this.cookie, 'ok')));
    const giveUpAt = Date.now() + HEAL_TIMEOUT_MS;
    for (const node of running) {
      const others = running.filter((other) => other !== node);
      while (!(await this.sees(node, others))) {
        if (Date.now() > giveUpAt) throw new Error(`${node.nodename} doesn't see the others again.`);
        await new Promise((resolve) => setTimeout(resolve, RETRY_INTERVAL_MS));
      }
    }
  }

  /** Ends all nodes for good, at once, and removes their folders. Calling it again changes nothing. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  private async setCookieBetween(node: PrivateRabbitmq, cookie: string, then: string): Promise<void> {
    const peers = this.nodes.filter((other) => other !== node).map(({ nodename }) => `'${nodename}'`);
    await node.ctl(
      'eval',
      `[begin erlang:set_cookie(Peer, '${cookie}'), ${then} end || Peer <- [${peers.join(', ')}]], ok.`,
    );
  }

  private async sees(node: PrivateRabbitmq, others: readonly PrivateRabbitmq[]): Promise<boolean> {
    const peers = others.map(({ nodename }) => `'${nodename}'`).join(', ');
    const answer = await node.ctl(
      'eval',
      `lists:all(fun(Peer) -> net_adm:ping(Peer) =:= pong end, [${peers}]).`,
    );
    return answer.trim() === 'true';
  }
}
