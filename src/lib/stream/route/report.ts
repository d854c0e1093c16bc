import { plural, printable, thousands } from '../../core/index.js';
import type { RouteState } from './types.js';

/**
 * Turns states into lines for people: at once where a far side is lost or found, a route is held up, or messages are skipped; and every `everyMs` how far
 * it is, while anything comes.
 * @param now ms, of any clock
 */
export function createReporter(
  line: (text: string) => void,
  everyMs = 10_000,
  now: () => number = Date.now,
): (states: readonly RouteState[]) => void {
  const sides = new Map<string, string>();
  const counts = new Map<string, { at: number; received: number; bad: number }>();
  const told = (key: string, state: string, text: string) => {
    if (sides.get(key) === state) return;
    // What is well from the start needs no line.
    if (sides.has(key) || state !== 'ok') line(text);
    sides.set(key, state);
  };
  const each = (route: RouteState) => {
    for (const [side, all] of [
      ['from', route.from],
      ['to', route.to],
    ] as const) {
      all.forEach(({ endpoint, state, error }, index) => {
        const key = `${route.name} ${side} ${index}`;
        if (state === 'failing')
          told(key, 'failing', `${route.name}: ${endpoint}: ${printable(error ?? 'lost')}; trying again`);
        else if (state === 'connected') told(key, 'ok', `${route.name}: ${endpoint}: back`);
      });
    }
    route.to.forEach(({ spooled }, index) => {
      if (!spooled) return;
      const { error } = spooled;
      const text = error === undefined ? 'can be written again' : `${printable(error)}; going on`;
      told(
        `${route.name} spool ${index}`,
        error === undefined ? 'ok' : 'failing',
        `${route.name}: spool: ${text}`,
      );
    });
    const before = counts.get(route.name) ?? { at: now(), received: 0, bad: 0 };
    counts.set(route.name, before);
    const bad = route.skipped + route.deadLettered;
    if (bad > 0 && before.bad === 0) {
      before.bad = bad;
      line(
        `${route.name}: ${route.skipped > 0 ? 'skipped' : 'put aside'} a message: ${printable(route.lastError ?? '')}`,
      );
    }
    const passed = now() - before.at;
    if (passed < everyMs || route.received === before.received) return;
    line(`${route.name}: ${stateText(route, (route.received - before.received) / (passed / 1000))}`);
    counts.set(route.name, { at: now(), received: route.received, bad });
  };
  return (states) => {
    for (const route of states) each(route);
  };
}

/** Such as `12 345 in, 12 300 out, 45 waiting, 1 200/s`. */
export function stateText(route: RouteState, rate?: number): string {
  const written = route.to.reduce((sum, to) => sum + to.written, 0);
  const spooled = route.to.reduce((sum, to) => sum + (to.spooled?.messages ?? 0), 0);
  const dropped = route.to.reduce((sum, to) => sum + (to.spooled?.dropped ?? 0), 0);
  const parts: [number, string][] = [
    [route.pending, 'waiting'],
    [spooled, 'in the spool'],
    [route.filtered, 'not wanted'],
    [route.duplicates, 'seen before'],
    [route.skipped, 'skipped'],
    [route.deadLettered, 'put aside'],
    [dropped, 'thrown away'],
  ];
  return [
    `${plural(route.received, 'message')} in`,
    `${thousands(written)} out`,
    ...parts.filter(([count]) => count > 0).map(([count, text]) => `${thousands(count)} ${text}`),
    ...(rate === undefined ? [] : [`${thousands(Math.round(rate))}/s`]),
  ].join(', ');
}
