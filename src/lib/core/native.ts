import { AiotError } from './errors/index.js';

/**
 * Loads a package with native code, for who needs it now: all else works on systems that it was not built for, and where an installation
 * has left it out.
 * @throws AIOT_NATIVE_PART where it does not load
 */
export async function nativePart<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    const system = `${process.platform} on ${process.arch}, Node ${process.versions.node}`;
    throw new AiotError('AIOT_NATIVE_PART', `${name} does not load here (${system}): ${reason}`, { cause });
  }
}
