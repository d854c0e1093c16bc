import type { Route } from '../../stream/index.js';
import { localPlace } from './local.js';

/**
 * Routes in the order in which they are to end: one that writes to the platform before those that read it there, so that each
 * can still hand on what it has. Routes in a circle come last, together.
 */
export function endingOrder(
  routes: readonly Route[],
  fits: (filter: string, topic: string) => boolean,
): Route[][] {
  const stages: Route[][] = [];
  let left = [...routes];
  while (left.length > 0) {
    const first = left.filter((route) => !left.some((other) => other !== route && feeds(other, route, fits)));
    const stage = first.length > 0 ? first : left;
    stages.push(stage);
    left = left.filter((route) => !stage.includes(route));
  }
  return stages;
}

function feeds(from: Route, to: Route, fits: (filter: string, topic: string) => boolean): boolean {
  const written = from.to.map(localPlace).filter((place) => place !== null);
  const read = to.from.map(localPlace).filter((place) => place !== null);
  // Where an expression says the topic, it may be any.
  return written.some(({ path }) => read.some((own) => from.topic !== undefined || fits(own.path, path)));
}
