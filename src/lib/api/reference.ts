import * as z from 'zod';
import { AiotError } from '../core/errors.js';
import { readJson } from '../core/files.js';
import { issueText } from '../core/issues.js';
import { namePattern } from '../core/names.js';
import { didYouMean } from '../core/text.js';
import { type ModelVersion, type Stage, stages } from './api.js';
import type { RegistryClient } from './client.js';

/** One version of a model. */
export interface ModelId {
  name: string;
  version: number;
}

/** Parsed reference: a version, the newest version, the version in a stage, or a name alone. */
export interface ModelReference {
  name: string;
  which: number | 'latest' | Stage | null;
}

/** `har@3`, `har@latest`, `har@production` or `har`. @throws AIOT_USAGE */
export function parseModelReference(text: string): ModelReference {
  const [name = '', which, ...rest] = text.split('@');
  const words: readonly string[] = ['latest', ...stages];
  if (namePattern.test(name) && rest.length === 0) {
    if (which === undefined) return { name, which: null };
    if (words.includes(which)) return { name, which: which as 'latest' | Stage };
    if (/^[1-9]\d{0,8}$/.test(which)) return { name, which: Number(which) };
  }
  throw new AiotError(
    'AIOT_USAGE',
    `expected a model such as har@3, har@latest or har@production, got ${text}${didYouMean(which ?? '', words)}`,
    {
      next: 'For the names and versions, run `aiot model list`.',
    },
  );
}

/** Parses a reference to one version, such as `har@3`. @throws AIOT_USAGE */
export function parseVersion(text: string): ModelId {
  const { name, which } = parseModelReference(text);
  if (typeof which === 'number') return { name, version: which };
  throw new AiotError('AIOT_USAGE', `expected a version such as ${name}@3, got ${text}`, {
    next: 'For the names and versions, run `aiot model list`.',
  });
}

/**
 * Resolves a reference to a version. A name alone is sufficient if the model has a single version. Otherwise, `stage` selects a version,
 * like `NAME@STAGE`. If several versions are in staging, the newest is selected. A path such as ./pushed.json refers to a file with the
 * output of `model push --json`.
 * @throws AIOT_USAGE (ambiguous or contradictory), AIOT_NOT_FOUND
 */
export async function resolveModel(
  client: { models: Pick<RegistryClient['models'], 'versions'> },
  text: string,
  stage?: Stage,
): Promise<ModelId> {
  if (/^\.?\.?\/.*\.json$/.test(text)) return await pushedIn(text);
  const { name, which } = parseModelReference(text);
  if (stage !== undefined && which !== null && which !== stage) {
    throw new AiotError(
      'AIOT_USAGE',
      `--stage ${stage} needs the name without a version: expected ${name}, got ${text}`,
    );
  }
  const wanted = stage ?? which;
  if (typeof wanted === 'number') return { name, version: wanted };
  const versions = await client.models.versions(name);
  const [found, ...others] =
    wanted === null || wanted === 'latest' ? versions : versions.filter((card) => card.stage === wanted);
  if (!found)
    throw new AiotError('AIOT_NOT_FOUND', `no version of ${name} is in ${wanted}: ${told(versions)}`, {
      next: `Choose another version, or move one with \`aiot model promote ${name}@VERSION --to ${wanted}\`.`,
    });
  if (wanted === null && others.length > 0) {
    throw new AiotError('AIOT_USAGE', `${name} has ${versions.length} versions: ${told(versions)}`, {
      next: `Specify a version: ${name}@${found.version}, or ${name}@latest`,
    });
  }
  return { name, version: found.version };
}

const pushed = z.object({ name: z.string().regex(namePattern), version: z.int().positive() });

/** @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED */
async function pushedIn(file: string): Promise<ModelId> {
  const read = pushed.safeParse(await readJson(file));
  if (read.success) return read.data;
  throw new AiotError('AIOT_FILE_MALFORMED', `${file}: ${issueText(read.error, 'the file')}`, {
    next: 'Use a file with the output of `aiot model push --json`, which contains the name and the version.',
  });
}

function told(versions: ModelVersion[]): string {
  const few = versions.slice(0, 5).map(({ name, version, stage }) => `${name}@${version} (${stage})`);
  return [...few, ...(versions.length > few.length ? ['…'] : [])].join(', ');
}

/** Moves the referenced version to another stage. @throws as `resolveModel`, AIOT_GATE_FAILED, AIOT_REQUEST_INVALID */
export async function promoteModel(
  client: { models: Pick<RegistryClient['models'], 'versions' | 'promote'> },
  text: string,
  { to, reason }: { to: Stage; reason?: string | undefined },
): Promise<ModelVersion> {
  const { name, version } = await resolveModel(client, text);
  return client.models.promote(name, version, reason === undefined ? { to } : { to, reason });
}
