import type { Session } from './sessions/session.js';

const lookMs = 500;
/** So much may wait for a client that is connected before its publishers are held up; and so little before they go on. */
const behindMessages = 1000;
const caughtUpMessages = 500;

export function isBehind({ link, queued }: Session): boolean {
  return link !== null && (!link.roomy || queued > behindMessages);
}

/** Calls `then` once the session has caught up, is gone, or has taken nothing for half a second: nobody waits for that. */
export function whenCaughtUp(session: Session, then: () => void): void {
  const progress = () => session.progress + (session.link?.taken ?? 0);
  let seen = progress();
  const finish = () => {
    clearInterval(timer);
    session.waiters.delete(look);
    then();
  };
  const look = () => {
    const { link, queued } = session;
    if (!link || (link.roomy && queued < caughtUpMessages)) finish();
  };
  const timer = setInterval(() => {
    if (progress() === seen) return finish();
    seen = progress();
    look();
  }, lookMs);
  session.waiters.add(look);
}
