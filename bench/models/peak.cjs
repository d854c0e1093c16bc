// Loaded before a program (node --require): writes its peak memory in bytes to the file that BENCH_PEAK names.
const { writeFileSync } = require('node:fs');
const { isMainThread } = require('node:worker_threads');

if (isMainThread && process.env.BENCH_PEAK)
  process.on('exit', () => {
    // maxRSS is in kilobytes on every system.
    writeFileSync(process.env.BENCH_PEAK, String(process.resourceUsage().maxRSS * 1024));
  });
