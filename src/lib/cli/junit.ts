import { AiotError } from '../core/errors.js';
import { requireWritable, writeFileAtomic } from '../core/files.js';
import type { CheckReport } from '../data/check/report.js';
import type { CheckedDeployment } from '../deploy/check/check.js';
import type { Conformity } from '../device/conform/conform.js';
import { type JunitCase, junitXml } from '../formats/junit.js';
import type { Gate } from '../model/evaluate/gates.js';

/** Writes what was checked as JUnit XML, once it is known. */
type JunitReport = (cases: readonly JunitCase[]) => Promise<void>;

/**
 * `--junit`: the file is refused before the work rather than after it. Without a file nothing is written.
 * @param command such as `stream route test`
 * @throws AIOT_FILE_NOT_WRITABLE
 */
export async function junitReport(file: string | undefined, command: string): Promise<JunitReport> {
  if (file === undefined) return async () => {};
  await requireWritable(file);
  const start = performance.now();
  return (cases) =>
    writeFileAtomic(file, junitXml(`aiot ${command}`, cases, (performance.now() - start) / 1000));
}

/** A gate that said no, and time that was up: all else says nothing of what was checked. */
const saidNo = new Set([6, 124]);

/**
 * One check that throws when it fails, such as `stream tail --expect`: what it throws is its failure, and is thrown on.
 * @param name undefined: nothing is checked, which is no use with a file
 * @throws AIOT_USAGE, AIOT_FILE_NOT_WRITABLE, and what the check does
 */
export async function junitOf<Value>(
  { file, command, name }: { file: string | undefined; command: string; name: string | undefined },
  check: () => Promise<Value>,
): Promise<Value> {
  if (file !== undefined && name === undefined) {
    throw new AiotError('AIOT_USAGE', '--junit: expected --expect or --never beside it');
  }
  const report = await junitReport(file, command);
  const one = { className: command, name: name ?? '' };
  try {
    const value = await check();
    await report([one]);
    return value;
  } catch (error) {
    if (error instanceof AiotError && saidNo.has(error.exit))
      await report([{ ...one, failure: error.message }]);
    throw error;
  }
}

/** A gate each; where there is none, nothing was checked. */
export function gateCases(gates: readonly Gate[]): JunitCase[] {
  return gates.map(({ name, limit, got, passed }) => ({
    className: 'gates',
    name: `${name} ${limit}`,
    failure: passed ? undefined : `${name}: limit ${limit}, got ${got ?? 'nothing'}`,
  }));
}

export function conformityCases({ checks }: Conformity): JunitCase[] {
  return checks.map(({ id, section, state, reason }) => ({
    className: section,
    name: id,
    failure: state === 'failed' ? (reason ?? 'failed') : undefined,
    skipped: state === 'skipped' ? (reason ?? 'skipped') : undefined,
  }));
}

/** A finding each: an error is a failure, and the rest is told as passed. Without any, one case says so. */
export function findingCases(findings: CheckReport['findings']): JunitCase[] {
  if (findings.length === 0) return [{ className: 'data', name: 'nothing found' }];
  return findings.map(({ kind, severity, message, advice, files }) => ({
    className: kind,
    name: `${severity}: ${message}`,
    failure: severity === 'error' ? [message, advice, ...files].join('\n') : undefined,
  }));
}

/** The same for files of an installation. */
export function deployCases({ findings }: CheckedDeployment): JunitCase[] {
  if (findings.length === 0) return [{ className: 'deploy', name: 'nothing found' }];
  return findings.map(({ level, rule, file, line, object, message }) => ({
    className: rule,
    name: `${file}:${line} ${object}`,
    failure: level === 'error' ? message : undefined,
  }));
}
