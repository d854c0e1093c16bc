import { canonicalJson, digestOf } from '../core/crypto.js';
import { unless } from '../core/errors.js';
import { type DataStores, withStores } from './context.js';

/** Data that may be stored on a platform: recordings of a stream; at an installation of the guide, rows with or without a label. */
export interface StoredData {
  stream: string;
  labelled: boolean;
}

/**
 * A digest of the stored data that changes whenever a recording, a label or a file is added, removed or extended. While it is unchanged,
 * data need not be fetched again.
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
