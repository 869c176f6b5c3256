// What this node knows of the catalogue: which jobs are switched off, and the definitions made at run time.
import type { JobDefinitions, RogerLog } from 'nestjs-roger';
import type { ArgsCheck } from './args-schema';
import { checkOfSchema } from './args-schema';
import type { DefinitionRow, DefinitionStore } from './definition-store';

/** What keeps switched-off jobs from being enqueued and run. */
interface JobGate {
  /** All those that are switched off at present. */
  setInactive(names: readonly string[]): void;
}

/** One made at run time, ready for use on this node. */
export interface RuntimeDefinition {
  readonly row: DefinitionRow;
  readonly check: ArgsCheck;
}

export interface KnownDefinitionsParts {
  readonly rows: DefinitionStore;
  readonly definitions: JobDefinitions;
  readonly gates: readonly JobGate[];
  readonly log: RogerLog;
}

export class KnownDefinitions {
  private runtime = new Map<string, RuntimeDefinition>();
  private inactive = new Set<string>();
  private loading: Promise<void> | undefined;
  private isStale = false;
  private readonly complaints = new Map<string, string>();

  constructor(private readonly parts: KnownDefinitionsParts) {}

  /** Learns anew what the database says. Where it is away, what was known last holds, and it rejects. */
  async load(): Promise<void> {
    // What is being read may be older than what was just written: then once more.
    if (this.loading !== undefined) {
      this.isStale = true;
      return this.loading;
    }
    this.loading = this.read().finally(() => {
      this.loading = undefined;
    });
    return this.loading;
  }

  isInactive(name: string): boolean {
    return this.inactive.has(name);
  }

  find(name: string): RuntimeDefinition | undefined {
    return this.runtime.get(name);
  }

  private async read(): Promise<void> {
    do {
      this.isStale = false;
      this.take(await this.parts.rows.all());
    } while (this.isStale as boolean);
  }

  private take(rows: readonly DefinitionRow[]): void {
    this.inactive = new Set(rows.filter((row) => Number(row.is_active) !== 1).map(({ name }) => name));
    const names = [...this.inactive];
    for (const gate of this.parts.gates) gate.setInactive(names);
    const before = this.runtime;
    this.runtime = new Map();
    for (const row of rows) {
      if (row.source !== 'runtime') continue;
      const known = before.get(row.name);
      const definition = known?.row.args_schema === row.args_schema ? { ...known, row } : this.compile(row);
      if (definition === undefined) continue;
      this.runtime.set(row.name, definition);
      this.introduce(definition);
    }
    for (const name of before.keys()) if (!this.runtime.has(name)) this.parts.definitions.removeAlias(name);
  }

  private compile(row: DefinitionRow): RuntimeDefinition | undefined {
    try {
      return { row, check: checkOfSchema(JSON.parse(row.args_schema ?? '{}'), row.name) };
    } catch (error) {
      this.complain(row.name, error);
      return undefined;
    }
  }

  /** To the workers here, where the handler is a provider of this app. */
  private introduce({ row: { name, handler }, check }: RuntimeDefinition): void {
    const { definitions } = this.parts;
    if (handler === null || !definitions.all().some((one) => one.name === handler)) {
      // Or what was its handler before would go on to take its jobs here.
      definitions.removeAlias(name);
      return;
    }
    try {
      definitions.addAlias(name, handler, { check });
      this.complaints.delete(name);
    } catch (error) {
      this.complain(name, error);
    }
  }

  private complain(name: string, error: unknown): void {
    const problem = error instanceof Error ? error.message : String(error);
    if (this.complaints.get(name) === problem) return;
    this.complaints.set(name, problem);
    this.parts.log.error(
      `The definition ${JSON.stringify(name)} made at run time can't be used here: ${problem}`,
    );
  }
}
