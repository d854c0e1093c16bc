import { runPipeline } from '../../src/lib/pipeline/run/run-pipeline.js';

// A program: runs the pipeline in the folder given as its argument, and stops on SIGTERM. Tests also kill it.

const stop = new AbortController();
process.on('SIGTERM', () => stop.abort(new Error('stopped')));
const { state } = await runPipeline({
  dir: process.argv[2]!,
  signal: stop.signal,
  onChange: (_, step) => step && process.stdout.write(`${step.name} ${step.state}\n`),
});
process.stdout.write(`ended ${state}\n`);
