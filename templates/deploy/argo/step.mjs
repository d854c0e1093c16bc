// One step of a pipeline in its pod, as `aiot pipeline run` has it on one machine: its folder is /pipeline, its result the JSON that it prints.
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { finished } from 'node:stream/promises';

const { command, needed, when } = JSON.parse(process.argv[2]);
const result = '/pipeline/result.json';

const skipped = (reason) => {
  process.stderr.write(`skipped: ${reason}\n`);
  writeFileSync(result, JSON.stringify({ state: 'skipped', reason }));
};
const valueAt = (step, path) => {
  const file = `/pipeline/results/${step}.json`;
  if (!existsSync(file)) return undefined;
  return path.reduce((value, key) => value?.[key], JSON.parse(readFileSync(file, 'utf8')));
};
const compares = {
  '=': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
};
const holds = ({ not, step, path, compare }) => {
  const found = valueAt(step, path);
  const good = compare
    ? typeof found === typeof compare.value && compares[compare.operator](found, compare.value)
    : Array.isArray(found)
      ? found.length > 0
      : Boolean(found);
  return good !== not;
};

const missing = needed.find(({ path }) => !existsSync(`/pipeline/${path}`));
const term = when.find((each) => !holds(each));
if (missing) skipped(missing.why);
else if (term) skipped(`${term.step}.${term.path.join('.')} does not hold`);
else {
  const [program, ...words] = command;
  const own = program === 'aiot';
  const child = spawn(own ? process.execPath : program, own ? ['/app/bin/run.js', ...words] : words, {
    cwd: '/pipeline',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const kept = createWriteStream(result);
  child.stdout.pipe(kept);
  child.stdout.pipe(process.stdout, { end: false });
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => child.kill(signal));
  const code = await new Promise((resolve) => {
    child.on('error', (error) => {
      process.stderr.write(`${error.message}\n`);
      resolve(127);
    });
    child.on('close', resolve);
  });
  await finished(kept).catch(() => {});
  process.exitCode = code ?? 1;
}
