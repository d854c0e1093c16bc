import { AiotError } from '../core/errors.js';
import { requireWritable, writeFileAtomic } from '../core/files.js';
import type { CheckReport } from '../data/check/report.js';
import type { CheckedDeployment } from '../deploy/check/check.js';
import type { Conformity } from '../device/conform/conform.js';
import { type JunitCase, junitXml } from '../formats/junit.js';
import type { Gate } from '../model/evaluate/gates.js';

/** Writes check results as JUnit XML, once they are known. */
type JunitReport = (cases: readonly JunitCase[]) => Promise<void>;

/**
 * Prepares the report for `--junit`. An unwritable file is rejected before the work begins. Without a file, nothing is written.
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

/** Exit codes that mean that the check itself failed: a gate or a timeout. Other errors say nothing about the subject of the check. */
const saidNo = new Set([6, 124]);

/**
 * Runs one check that throws if it fails, such as `stream tail --expect`. The error is recorded as a failure and rethrown.
 * @param name name of the test case; undefined = there is nothing to check, so --junit is rejected
 * @throws AIOT_USAGE, AIOT_FILE_NOT_WRITABLE, and the errors of the check
 */
export async function junitOf<Value>(
  { file, command, name }: { file: string; command: string; name: string | undefined },
  check: () => Promise<Value>,
): Promise<Value> {
  if (name === undefined) {
    throw new AiotError('AIOT_USAGE', '--junit needs --expect or --never');
  }
  const report = await junitReport(file, command);
  const one = { className: command, name };
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

/** One case per gate. */
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

/**
 * One case per finding. Errors are failures, and other findings are reported as passed. If there are no findings, a single case states
 * that.
 */
export function findingCases(findings: CheckReport['findings']): JunitCase[] {
  if (findings.length === 0) return [{ className: 'data', name: 'nothing found' }];
  return findings.map(({ kind, severity, message, advice, files }) => ({
    className: kind,
    name: `${severity}: ${message}`,
    failure: severity === 'error' ? [message, advice, ...files].join('\n') : undefined,
  }));
}

/** One case per finding of a deployment check, like `findingCases`. */
export function deployCases({ findings }: CheckedDeployment): JunitCase[] {
  if (findings.length === 0) return [{ className: 'deploy', name: 'nothing found' }];
  return findings.map(({ level, rule, file, line, object, message }) => ({
    className: rule,
    name: `${file}:${line} ${object}`,
    failure: level === 'error' ? message : undefined,
  }));
}
