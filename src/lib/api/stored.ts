import { canonicalJson, digestOf } from '../core/crypto.js';
import { unless } from '../core/errors.js';
import { type DataStores, withStores } from './context.js';

/** Selects stored data: recordings of a stream on a platform, or rows with or without a label at an installation of the guide. */
export interface StoredData {
  stream: string;
  labelled: boolean;
}

/**
 * A digest that changes whenever a recording, a label or a file is added, removed or extended. As long as it is unchanged, the data need
 * not be fetched again.
 * @throws as `withStores`, and errors of the calls
 */
export function storedState(context: string, what: StoredData): Promise<string> {
  return withStores(context, (stores) => stateOf(stores, what));
}

async function stateOf({ client, guide }: DataStores, { stream, labelled }: StoredData): Promise<string> {
  if (guide) return (await guide.listing(labelled)).state;
  const found = client && (await unless('AIOT_NOT_FOUND', client.datasets.get(stream)));
  return digestOf(canonicalJson(found ? { fields: found.fields, recordings: found.recordings } : null));
}
