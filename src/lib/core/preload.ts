/**
 * Loads now and in the background what is else loaded when it is first of use. For processes that live for months: one that has no
 * file handle left at that moment cannot load it, and Node 20 remembers that for as long as the process lives.
 */
export function preload(...parts: (() => Promise<unknown>)[]): void {
  // One that cannot be loaded says so where it is of use.
  for (const load of parts) load().catch(() => {});
}
