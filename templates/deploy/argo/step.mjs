// Runs one step of a pipeline in its pod, as `aiot pipeline run` does on one machine. The folder is /pipeline, and the result is the JSON that the
// step prints.
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { finished } from 'node:stream/promises';

const { command, needed, when, outputs } = JSON.parse(process.argv[2]);
const result = '/pipeline/result.json';

// Fields that describe the result. They are part of the workflow's status, so they are kept small.
const told = ['error', 'gates', 'reason', 'skipped', 'name', 'version', 'digest'];
const tell = (exit, last, said) => {
  const members =
    said !== null && typeof said === 'object' ? told.filter((key) => said[key] !== undefined) : [];
  const short = Object.fromEntries(members.map((key) => [key, said[key]]));
  const text = JSON.stringify({ exit, last, result: short });
  writeFileSync(
    '/pipeline/.outcome.json',
    text.length < 16384 ? text : JSON.stringify({ exit, last, result: {} }),
  );
};

const skipped = (reason) => {
  process.stderr.write(`skipped: ${reason}\n`);
  writeFileSync(result, JSON.stringify({ state: 'skipped', reason }));
  tell(0, '', { skipped: reason });
};
const valueAt = (step, path) => {
  const file = `/pipeline/results/${step}.json`;
  if (!existsSync(file)) return undefined;
  return path.reduce((value, key) => value?.[key], valueIn(file));
};
// Parses stdout as JSON or, if that fails, its last line.
const valueIn = (file) => {
  const text = readFileSync(file, 'utf8').trim();
  for (const part of [text, text.slice(text.lastIndexOf('\n') + 1)]) {
    if (!/^[[{]/.test(part)) continue;
    try {
      return JSON.parse(part);
    } catch {
      // The line looks like JSON, but is not valid.
    }
  }
  return null;
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
  // Runs that the cluster submitted, by a sensor or a schedule, are identified by their workflow.
  const { AIOT_PIPELINE_RUN: run, AIOT_CAUSE: cause, WORKFLOW: workflow } = process.env;
  const env = {
    ...process.env,
    AIOT_PIPELINE_RUN: run || workflow,
    AIOT_CAUSE: cause || 'started in the cluster',
  };
  const child = spawn(own ? process.execPath : program, own ? ['/app/bin/run.js', ...words] : words, {
    ...{ cwd: '/pipeline', env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kept = createWriteStream(result);
  child.stdout.pipe(kept);
  child.stdout.pipe(process.stdout, { end: false });
  child.stderr.pipe(process.stderr, { end: false });
  let last = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    last = text.trimEnd().split('\n').at(-1).trim().slice(0, 500) || last;
  });
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => child.kill(signal));
  const ended = await new Promise((resolve) => {
    child.on('error', (error) => {
      last = `${program} cannot be started (${error.code})`;
      process.stderr.write(`${last}\n`);
      resolve(127);
    });
    child.on('close', resolve);
  });
  await finished(kept).catch(() => {});
  const said = valueIn(result);
  const left = outputs.find((path) => !existsSync(`/pipeline/${path}`));
  const lacks = ended === 0 && !said?.skipped && left !== undefined;
  if (lacks) last = `the step did not create ${left}`;
  if (lacks) process.stderr.write(`${last}\n`);
  tell(lacks ? 1 : ended, last, said);
  process.exitCode = lacks ? 1 : (ended ?? 1);
}
