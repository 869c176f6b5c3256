// What shows that a node lives: that the broker has it, and that it writes to the database.
import { sql } from 'kysely';
import type { ClusterService } from 'nestjs-roger';
import type { EngineStore } from '../store/engine-store';

export class NodeSigns {
  constructor(
    private readonly store: EngineStore,
    private readonly cluster: Pick<ClusterService, 'nodes' | 'isConnected'>,
  ) {}

  /** Those that are there. Undefined: this node is cut off, and must not take all others for gone. */
  present(): ReadonlySet<string> | undefined {
    return this.cluster.isConnected() ? new Set(this.cluster.nodes().map(({ id }) => id)) : undefined;
  }

  /** Then it is only we who don't hear it. */
  async hasWrittenWithin(node: string, ms: number): Promise<boolean> {
    const row = await this.store.reading
      .selectFrom('roger_nodes')
      .select('node')
      .where('node', '=', node)
      .where('seen_at', '>', sql<number>`${this.store.now} - ${ms}`)
      .executeTakeFirst();
    return row !== undefined;
  }
}
