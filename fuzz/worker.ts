import { parentPort, workerData } from 'node:worker_threads';
import type { Order, Report } from './types.js';

// The counters must exist before any instrumented module is loaded.
const { places, running } = workerData as { places: number; running: SharedArrayBuffer };
Object.assign(globalThis, { __fuzz: new Uint8Array(places) });
const { fuzzed } = await import('./fuzzed.js');
const { tried } = await import('./judge.js');
const { targets } = await import('./targets/index.js');

const tell = (report: Report) => parentPort!.postMessage(report);
const named = (name: string) => targets.find((target) => target.name === name)!;

parentPort!.on('message', async (order: Order) => {
  if (order.do === 'list') tell({ told: 'list', names: targets.map(({ name }) => name) });
  else if (order.do === 'try') {
    tell({ told: 'tried', ...(await tried(named(order.target), Buffer.from(order.input))) });
  } else {
    const target = named(order.target);
    tell({
      told: 'ran',
      run: await fuzzed(target, order, running, (finding) => tell({ told: 'finding', finding })),
    });
  }
});
