// Hears from other nodes that the catalogue has changed.
import { RogerCommand } from 'nestjs-roger';
import type { KnownDefinitions } from './known-definitions';

export const CATALOGUE_CHANGED = 'nestjs-roger-engine/catalogue-changed';

/** Answers when this node knows the change. */
export abstract class CatalogueNews {
  constructor(private readonly known: KnownDefinitions) {}

  async learn(): Promise<void> {
    await this.known.load();
  }
}

/** A provider class for the nodes of one module instance. */
export function catalogueNewsOf(
  instance: string | undefined,
): new (known: KnownDefinitions) => CatalogueNews {
  class News extends CatalogueNews {
    override async learn(): Promise<void> {
      await super.learn();
    }
  }
  const descriptor = Object.getOwnPropertyDescriptor(News.prototype, 'learn');
  if (descriptor !== undefined) {
    RogerCommand(CATALOGUE_CHANGED, instance === undefined ? {} : { instance })(
      News.prototype,
      'learn',
      descriptor,
    );
  }
  return News;
}
