import { canonicalJson, digestOf } from '../core/crypto.js';
import { unless } from '../core/errors.js';
import { type DataStores, withStores } from './context.js';

/** Data that a platform may have: recordings of a stream; at an installation of the guide, rows with or without a label. */
export interface StoredData {
  stream: string;
  labelled: boolean;
}

/**
 * A digest of what there is, another one whenever a recording, a label or a file has come, gone or grown: what was fetched before need
 * not be fetched again while it is the same.
 * @throws as `withStores`, and what the calls throw
 */
export function storedState(context: string, what: StoredData): Promise<string> {
  return withStores(context, (stores) => stateOf(stores, what));
}

async function stateOf({ client, guide }: DataStores, { stream, labelled }: StoredData): Promise<string> {
  if (guide) return (await guide.listing(labelled)).state;
  const found = client && (await unless('AIOT_NOT_FOUND', client.datasets.get(stream)));
  return digestOf(canonicalJson(found ? { fields: found.fields, recordings: found.recordings } : null));
}
