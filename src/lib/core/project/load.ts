import { basename, join, resolve } from 'node:path';
import { AiotError } from '../errors/index.js';
import { readBytes } from '../files.js';
import { namePattern } from '../ids.js';
import { parseYaml } from '../yaml.js';
import { crossChecks } from './cross-checks.js';
import { type ProjectConfig, projectSchema } from './schema.js';

export interface Project {
  /** Absolute folder. */
  dir: string;
  /** Absolute path of aiot.yaml. */
  file: string;
  config: ProjectConfig;
}

/**
 * Reads and checks DIR/aiot.yaml.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID (file:line:column, field, expected, got)
 */
export async function loadProject(dir: string): Promise<Project> {
  const folder = resolve(dir);
  const file = join(folder, 'aiot.yaml');
  const bytes = await readBytes(file).catch((error: unknown) => {
    if (error instanceof AiotError && error.code === 'AIOT_FILE_NOT_FOUND') {
      throw new AiotError('AIOT_PROJECT_NOT_FOUND', `no aiot.yaml in ${folder}`, { cause: error });
    }
    throw error;
  });
  return { dir: folder, file, config: parseProject(bytes.toString('utf8'), file) };
}

/**
 * The project of a folder without aiot.yaml: every default, and the folder's name. Its `file` does not exist.
 */
export function defaultProject(dir: string): Project {
  const folder = resolve(dir);
  const name = basename(folder)
    .replaceAll(/[^A-Za-z0-9._-]/g, '-')
    .slice(0, 64);
  const config = projectSchema.parse({ name: namePattern.test(name) ? name : 'model' });
  return { dir: folder, file: join(folder, 'aiot.yaml'), config };
}

/** @throws AIOT_PROJECT_INVALID; all problems are told, not the first alone. */
export function parseProject(text: string, file: string): ProjectConfig {
  return parseYaml(text, file, projectSchema, { code: 'AIOT_PROJECT_INVALID', check: crossChecks });
}
