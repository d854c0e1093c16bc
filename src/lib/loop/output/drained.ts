import type { Outlet } from '../../stream/index.js';

/** For what is on its way when the loop ends. */
const drainMs = { connected: 10_000, failing: 1000 };

/** Whether all has arrived, within the time that the far side's state is worth: a while where it takes answers, else a moment. */
export async function drained(outlet: Outlet): Promise<boolean> {
  const failing = outlet.state().state === 'failing';
  return Promise.race([
    outlet.idle(true).then(() => true),
    new Promise<false>((resolve) => {
      setTimeout(() => resolve(false), failing ? drainMs.failing : drainMs.connected).unref();
    }),
  ]);
}
