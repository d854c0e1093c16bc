import type { Admission } from './admission.js';
import type { Core } from './core.js';

const everyMs = 500;
const expiryMs = 60_000;

/** Looks after connections and sessions: who is silent, who takes nothing, who did not come back. Returns what ends it. */
export function startSweeps(core: Core, admission: Admission): () => void {
  const { state, connections, router, limits, figures } = core;
  const sweep = setInterval(() => {
    const elapsed = core.elapsed();
    for (const connection of connections) connection.sweep(elapsed);
    let bytes = 0;
    for (const session of state.sessions.values()) bytes += session.bytes;
    router.queuedBytes = bytes;
  }, everyMs);
  const expiry = setInterval(
    () => {
      admission.sweep();
      const now = core.now();
      for (const session of [...state.sessions.values()]) {
        const { offlineSince } = session;
        if (offlineSince === null) continue;
        // A clock that was set back makes nobody older.
        if (offlineSince > now) session.offlineSince = now;
        if (now - offlineSince <= limits.sessionExpiryMs) continue;
        state.end(session);
        core.sessionLog().append({ k: 'end', s: session.key });
        figures.expired++;
        core.log.info({ session: session.key }, 'a session that nobody came back to was forgotten');
      }
    },
    Math.min(expiryMs, limits.sessionExpiryMs),
  );
  return () => {
    clearInterval(sweep);
    clearInterval(expiry);
  };
}
