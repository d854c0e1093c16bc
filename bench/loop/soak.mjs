// Runs the complete loop of the built program on a simulated sensor at full speed: `node soak.mjs PROJECT HOURS [SENSOR]`. SENSOR is the
// URL of a simulated chip; the default is the project's simulated sensor. Prints one line of JSON.
import { memoryUsage } from 'node:process';

/** @param {string} path a module below src/lib */
const built = (path) => import(new URL(`../../dist/.modules/lib/${path}.js`, import.meta.url).href);
const { loadProject } = await built('core/project');
const { openSensing } = await built('loop/sense/open');
const { createVirtualClock } = await built('loop/sense/time');
const { runLoop } = await built('loop/run/run');

const [dir = '', hours, sensor] = process.argv.slice(2);
const project = await loadProject(dir);
const endMs = Number(hours) * 3_600_000;
/** @type {number[]} memory after each tenth of the run, 10⁶ bytes */
const memory = [];
const started = performance.now();
const { samples, lost, gaps, windows } = await runLoop({
  project: dir,
  simulate: true,
  vote: 'majority:4',
  parts: { sensing: openSome },
});
const seconds = (performance.now() - started) / 1000;
console.log(JSON.stringify({ samples, lost, gaps, windows, seconds, memory }));
process.exit(0);

/**
 * Opens a sensor whose stream ends after HOURS of sensor time.
 * @param {Record<string, unknown>} options
 */
async function openSome(options) {
  const chip = sensor ? { sensor, clock: createVirtualClock(Date.now()) } : {};
  const sensing = await openSensing({ ...options, ...chip, simulate: { project, speed: 'max' } });
  const all = sensing[Symbol.asyncIterator].bind(sensing);
  let begin = Number.NaN;
  return Object.assign(Object.create(sensing), {
    async *[Symbol.asyncIterator]() {
      for await (const batch of { [Symbol.asyncIterator]: all }) {
        if (Number.isNaN(begin)) begin = batch.times[0];
        const passed = batch.times[batch.count - 1] - begin;
        while (memory.length < 10 && passed >= ((memory.length + 1) * endMs) / 10)
          memory.push(memoryUsage.rss() / 1e6);
        yield batch;
        if (passed >= endMs) return;
      }
    },
  });
}
