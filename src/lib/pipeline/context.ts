import { AiotError, type ContextKind, type PlatformContext, readContexts } from '../core/index.js';

/** A platform of the user's, and what it is. */
export interface FoundContext extends PlatformContext {
  name: string;
  kind: ContextKind;
}

/**
 * The platform that is meant: by name, or the one in use. Null where none is in use: the project has one of its own then. What has to
 * start fast does not load the platform's client for this.
 * @throws AIOT_CONTEXT_NOT_FOUND
 */
export async function findContext(name = process.env.AIOT_CONTEXT): Promise<FoundContext | null> {
  const { current, contexts } = await readContexts();
  const wanted = name || current;
  if (wanted === undefined) return null;
  const found = Object.hasOwn(contexts, wanted) ? contexts[wanted] : undefined;
  if (found) return { ...found, name: wanted, kind: found.kind ?? 'platform' };
  throw new AiotError('AIOT_CONTEXT_NOT_FOUND', `no context is named ${wanted}`);
}
