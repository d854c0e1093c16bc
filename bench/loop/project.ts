import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { aiot, root, timed } from '../harness/process.js';

/** Inputs of the model: the raw window, or features of it. */
export type Inputs = 'raw' | 'motion';

/** Samples at 50 Hz between two predictions. Small enough that half a minute yields sufficient predictions for a 99th percentile. */
const stride = 10;

/**
 * Creates a project from the template har-imu with these inputs and a prediction every 0.2 s, and trains its model, which is cached.
 * Returns the project's folder.
 */
export function makeProject(folder: string, inputs: Inputs): string {
  const dir = join(folder, inputs);
  mkdirSync(dir, { recursive: true });
  cpSync(join(root, 'templates', 'har-imu', 'data'), join(dir, 'data'), { recursive: true });
  const yaml = readFileSync(join(root, 'templates', 'har-imu', 'aiot.yaml'), 'utf8')
    .replace(/^( {2}features:).*$/m, `$1 ${inputs}`)
    .replace(/^( {2}stride:).*$/m, `$1 ${stride}`)
    // The template's acceptance test is removed, because a model of raw windows slightly misses it, and only the speed matters here.
    .replace(/^ {2}accept:[\s\S]*$/m, '');
  writeFileSync(join(dir, 'aiot.yaml'), yaml);
  timed(aiot('loop', 'run', '--project', dir, '--simulate', '--for', '1s'));
  return dir;
}
